// The state of a circuit, and its cotangent going back, with all that operations do to them.
#pragma once

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <initializer_list>
#include <memory>
#include <new>
#include <utility>
#include <vector>

#include "numbers.h"
#include "operations.h"
#include "threads.h"
#include "vectors.h"

namespace {

constexpr int kTileBits = 5;        // bits of gates that share a pass over the state
constexpr int64_t kTile = 1 << 14;  // bytes of a tile, of all planes: half of a small first cache
constexpr int64_t kPart = 1 << 13;  // amplitudes that a thread takes at a time

// A permutation of amplitudes, amplitude i comes from table[i]; or of a matrix of 2^columns rows and 2^rows columns to
// its transpose. Going back it is the inverse: gathering is faster than scattering.
struct Order {
  const int32_t* table;
  int rows, columns;
};

struct Free {
  void operator()(void* p) const { operator delete(p, std::align_val_t{64}); }
};
template <class T>
std::unique_ptr<T[], Free> aligned(int64_t size) {
  return std::unique_ptr<T[], Free>(static_cast<T*>(operator new(size * sizeof(T), std::align_val_t{64})));
}

template <class T, bool D>
class Machine {
 public:
  Machine(int64_t n, bool back, Crew crew)
      : N_(int64_t{1} << n),
        back_(back),
        crew_(crew),
        parts_(N_ < 4 * kPart ? 1 : N_ / kPart),
        sums_(aligned<T>(parts_ * kSums)) {}

  State<T> v, w;              // w is used going back only
  State<T> spare_v, spare_w;  // where permutations write to; then they change places

  // f(begin, end, part) for parts of a loop over `total`, whose number does not depend on that of the threads: neither
  // does a sum over parts.
  template <class F>
  void in_parts(int64_t total, F f) {
    crew_.share(parts_, [&, total](int64_t k) { f(total * k / parts_, total * (k + 1) / parts_, k); });
  }

  void permute(const Order& order) {
    following(order, [&](auto from) {
      each_plane([&](const T* __restrict p, T* __restrict x) {
        constexpr int64_t B = 16;  // blocks: a transpose stays in the caches
        int64_t columns = std::min(N_, int64_t{1} << order.columns), rows = N_ / columns;
        int64_t across = (columns + B - 1) / B, down = (rows + B - 1) / B;
        in_parts(across * down, [&](int64_t begin, int64_t end, int64_t) {
          for (int64_t b = begin; b < end; b++) {
            int64_t r0 = b / across * B, c0 = b % across * B;
            for (int64_t r = r0; r < std::min(rows, r0 + B); r++)
              for (int64_t i = r * columns + c0; i < r * columns + std::min(columns, c0 + B); i++) x[i] = p[from(i)];
          }
        });
      });
    });
    exchange();
  }

  // gates: count of (member, bit), on different bits, after the permutation `order`, if any.
  void gates(const Order* order, const int64_t* gates, int64_t count, const T* u, const T* du, Cotangent<T> to) {
    int64_t tiles = (count + kTileBits - 1) / kTileBits;
    for (int64_t k = 0; k < tiles; k++) {
      int64_t first = k * kTileBits;
      tile(k ? nullptr : order, gates + 2 * first, std::min<int64_t>(kTileBits, count - first), u, du, to);
    }
  }

  void pair(const int32_t* table, int64_t count, const T* u, const T* du, Cotangent<T> to) {
    Small<T> m = small<T, D>(u, du);
    const int32_t *is = table, *js = table + count, *signs = table + 2 * count;
    on_pairs(m, to, count, [=](int64_t begin, int64_t end, auto&& f) {
      for (int64_t k = begin; k < end; k++) f(is[k], js[k], T(signs[k]));
    });
  }

  // code: 0 nothing, 1 u00, 2 u11 of each amplitude.
  template <class Code>
  void diagonal(Code code, const T* u, const T* du, Cotangent<T> to) {
    Small<T> m = small<T, D>(u, du), inv = back_ ? inverse<D>(m) : m, dag = back_ ? dagger<D>(m) : m;
    in_parts(N_, [&](int64_t begin, int64_t end, int64_t part) {
      auto on = [&](const State<T>& s, const auto& m) {
        for (int64_t i = begin; i < end; i++)
          if (int c = code(i)) on_one<T, D>(s, i, m.u[3 * (c - 1)], D ? m.du[3 * (c - 1)] : C<T>{});
      };
      if (!back_) return on(v, m);
      on(v, inv);
      Dual<T> t[2];
      for (int64_t i = begin; i < end; i++)
        if (int c = code(i)) t[c - 1] += outer<T, D>(w, i, v, i);
      std::copy_n(t, 2, duals(part));
      on(w, dag);
    });
    add_up(to, {{0, 4}, {3, 7}});
  }

  // place(k, g): the amplitude k < d of group g.
  template <class Place>
  void dense(Place place, int64_t groups, int d, const T* u, const T* du, Cotangent<T> to) {
    Large<T> m = large<T, D>(u, du, d), inv = back_ ? inverse<D>(m) : m, dag = back_ ? dagger<D>(m) : m;
    std::vector<Dual<T>> sums(back_ ? parts_ * d * d : 0);
    in_parts(groups, [&](int64_t begin, int64_t end, int64_t part) {
      auto on = [&](const State<T>& s, const auto& m) {
        C<T> a[1 << kLargest], da[1 << kLargest];
        for (int64_t g = begin; g < end; g++) {
          for (int k = 0; k < d; k++) read<T, D>(s, place(k, g), a[k], da[k]);
          for (int r = 0; r < d; r++) {
            C<T> x, dx;
            for (int k = 0; k < d; k++) {
              x = x + m.u[r * d + k] * a[k];
              if (D) dx = dx + m.u[r * d + k] * da[k] + m.du[r * d + k] * a[k];
            }
            write<T, D>(s, place(r, g), x, dx);
          }
        }
      };
      if (!back_) return on(v, m);
      on(v, inv);
      for (int r = 0; r < d; r++)
        for (int k = 0; k < d; k++) {
          Dual<T> t;
          for (int64_t g = begin; g < end; g++) t += outer<T, D>(w, place(r, g), v, place(k, g));
          sums[(part * d + r) * d + k] = t;
        }
      on(w, dag);
    });
    for (size_t k = 0; k < sums.size(); k++) to.add(k % (d * d), d * d + k % (d * d), sums[k]);
  }

  // A pair operation by its masks m, x, s, controls, values, in the order of the amplitudes.
  void masked(const int32_t* masks, const T* u, const T* du, Cotangent<T> to) {
    int64_t m = masks[0], x = masks[1], s = masks[2], controls = masks[3], values = masks[4];
    if (x == 0)
      return diagonal(
          [=](int64_t i) { return (i & controls) != values ? 0 : 1 + __builtin_parityll(i & m); }, u, du, to);
    if (m == x && !(x & (x - 1)) && !s && !controls) {
      int64_t gate[2] = {0, __builtin_ctzll(x)};
      return gates(nullptr, gate, 1, u, du, to);
    }
    Small<T> matrix = small<T, D>(u, du);
    int64_t low = x & -x;  // of each pair {i, i ^ x} the one without this bit is visited
    on_pairs(matrix, to, N_, [=](int64_t begin, int64_t end, auto&& f) {
      for (int64_t i = begin; i < end; i++) {
        if ((i & low) || (i & controls) != values) continue;
        bool b = __builtin_parityll(i & m);
        f(b ? i ^ x : i, b ? i : i ^ x, __builtin_parityll(i & s) ? T(-1) : T(1));
      }
    });
  }

 private:
  // f(from, to) for every plane.
  template <class F>
  void each_plane(F f) {
    for (int k = 0; k < kPlanes; k++) {
      f(v[k], spare_v[k]);
      if (back_) f(w[k], spare_w[k]);
    }
  }
  void exchange() { std::swap(v, spare_v), std::swap(w, spare_w); }

  // f(from), with the place that amplitude i of the permuted state comes from.
  template <class F>
  static void following(const Order& order, F f) {
    if (order.table) return f([table = order.table](int64_t i) -> int64_t { return table[i]; });
    f([=, mask = (int64_t{1} << order.columns) - 1](int64_t i) { return (i & mask) << order.rows | i >> order.columns; });
  }

  // A matrix on pairs: visit(begin, end, f) calls f(i, j, sign) for those of a part of the loop over `total`.
  template <class Visit>
  void on_pairs(const Small<T>& m, Cotangent<T> to, int64_t total, Visit visit) {
    Small<T> inv = back_ ? inverse<D>(m) : m, dag = back_ ? dagger<D>(m) : m;
    in_parts(total, [&](int64_t begin, int64_t end, int64_t part) {
      auto act = [&](const State<T>& s, const Small<T>& m) {
        visit(begin, end, [&](int64_t i, int64_t j, T sign) { on_pair<T, D>(s, i, j, sign, m); });
      };
      if (!back_) return act(v, m);
      act(v, inv);
      Dual<T> t[4];
      visit(begin, end, [&](int64_t i, int64_t j, T sign) {
        t[0] += outer<T, D>(w, i, v, i);
        t[1] += scaled(outer<T, D>(w, i, v, j), sign);
        t[2] += scaled(outer<T, D>(w, j, v, i), sign);
        t[3] += outer<T, D>(w, j, v, j);
      });
      std::copy_n(t, 4, duals(part));
      act(w, dag);
    });
    add_up(to, {{0, 4}, {1, 5}, {2, 6}, {3, 7}});
  }

  Dual<T>* duals(int64_t part) { return reinterpret_cast<Dual<T>*>(sums_.get() + part * kSums); }

  // Adds what parts left in `duals`, to real and imaginary parts at these places.
  void add_up(Cotangent<T> to, std::initializer_list<std::pair<int, int>> places) {
    if (!back_) return;
    for (int64_t part = 0; part < parts_; part++) {
      const Dual<T>* t = duals(part);
      for (auto [re, im] : places) to.add(re, im, *t++);
    }
  }

  void tile(const Order* order, const int64_t* gates, int64_t count, const T* u, const T* du, Cotangent<T> to) {
    int64_t lowest = 63;
    for (int64_t g = 0; g < count; g++) lowest = std::min(lowest, gates[2 * g + 1]);
    int64_t run = std::min(int64_t{1} << lowest, kTile / int64_t(sizeof(T)) / (kPlanes * (1 + back_)) >> count);
    constexpr int L = kBytes / sizeof(T);
    run >= L ? tile_of<L>(order, gates, count, run, u, du, to) : tile_of<1>(order, gates, count, run, u, du, to);
  }

  // 2^count runs of neighbours at a time, copied to where they stay while all gates act on them.
  template <int L>
  void tile_of(const Order* order, const int64_t* gates, int64_t count, int64_t run, const T* u, const T* du,
               Cotangent<T> to) {
    typedef typename Vec<T, L>::type V;
    int64_t rows = int64_t{1} << count, size = rows * run, offset[1 << kTileBits];
    for (int64_t a = 0; a < rows; a++) {
      offset[a] = 0;
      for (int64_t g = 0; g < count; g++)
        if (a >> g & 1) offset[a] |= int64_t{1} << gates[2 * g + 1];
    }
    int64_t mask = offset[rows - 1];
    // For each gate: the matrix for v, and going back that for w.
    Lanes<V> mv[kTileBits], dmv[kTileBits], mw[kTileBits], dmw[kTileBits];
    for (int64_t g = 0; g < count; g++) {
      int64_t at = 8 * gates[2 * g];
      Small<T> m = small<T, D>(u + at, D ? du + at : nullptr);
      Small<T> a = back_ ? inverse<D>(m) : m, b = dagger<D>(m);
      mv[g] = lanes<V>(a.u.data()), mw[g] = lanes<V>(b.u.data());
      if (D) dmv[g] = lanes<V>(a.du.data()), dmw[g] = lanes<V>(b.du.data());
    }
    in_parts(N_ / size, [&](int64_t begin, int64_t end, int64_t part) {
      alignas(64) T room[kTile / sizeof(T)];
      State<T> tv = State<T>::at(room, size), tw = State<T>::at(room + kPlanes * size, size);
      auto sums = vectors<V>(part);
      if (back_) std::memset(sums, 0, count * sizeof(*sums));
      // f(state of the circuit, of the tile, spare) for v, and going back for w.
      auto both = [&](auto f) {
        f(v, tv, spare_v);
        if (back_) f(w, tw, spare_w);
      };
      auto whole = [&](auto move) {
        for (int64_t a = 0; a < rows; a++) move(a * run, offset[a]);
      };
      int64_t base = 0;
      for (int64_t bit = run, rest = begin; rest; bit <<= 1) {  // `begin`, by the bits that are not of gates
        if (bit & mask) continue;
        if (rest & 1) base |= bit;
        rest >>= 1;
      }
      for (int64_t k = begin; k < end; k++, base = ((base | mask) + run) & ~mask) {
        both([&](const State<T>& s, const State<T>& t, const State<T>&) {
          auto copied = [&](int64_t to, int64_t from) {
            for (int p = 0; p < kPlanes; p++) copy<V>(t[p] + to, s[p] + base + from, run);
          };
          if (!order) return whole(copied);
          following(*order, [&](auto from) {
            whole([&](int64_t to, int64_t place) {
              for (int64_t k = 0; k < run; k++) {
                int64_t i = from(base + place + k);
                for (int p = 0; p < kPlanes; p++) t[p][to + k] = s[p][i];
              }
            });
          });
        });
        for (int64_t step = 0; step < count; step++) {
          int64_t g = back_ ? count - 1 - step : step;
          on_tile<T, D, V>(tv, size, run << g, mv[g], dmv[g]);
          if (!back_) continue;
          gather_tile<T, D, V>(tv, tw, size, run << g, sums[g]);
          on_tile<T, D, V>(tw, size, run << g, mw[g], dmw[g]);
        }
        both([&](const State<T>& s, const State<T>& t, const State<T>& spare) {
          whole([&](int64_t from, int64_t to) {
            for (int p = 0; p < kPlanes; p++) copy<V>((order ? spare : s)[p] + base + to, t[p] + from, run);
          });
        });
      }
    });
    if (order) exchange();
    if (!back_) return;
    for (int64_t part = 0; part < parts_; part++)
      for (int64_t g = 0; g < count; g++)
        for (int k = 0; k < 4; k++) {
          const V* s = vectors<V>(part)[g] + 2 * k;
          auto sum = [&](int at) -> C<T> { return {total<T, L>(s[at]), total<T, L>(s[at + 1])}; };
          (to + 8 * gates[2 * g]).add(k, k + 4, {sum(0), D ? sum(8) : C<T>{}});
        }
  }

  // For each gate of a tile the eight sums of its transitions, and their tangents.
  template <class V>
  using Sums = V[D ? 16 : 8];
  template <class V>
  Sums<V>* vectors(int64_t part) {
    return reinterpret_cast<Sums<V>*>(sums_.get() + part * kSums);
  }
  static constexpr int64_t kSums = kTileBits * 16 * kBytes / sizeof(T);  // numbers of one part

  static constexpr int kPlanes = D ? 4 : 2;  // of a state
  int64_t N_;
  bool back_;
  Crew crew_;
  int64_t parts_;
  std::unique_ptr<T[], Free> sums_;
};

}  // namespace

// Circuits in one call: what `_kernels.py` and `_dynamic.py` do step by step, done for a whole segment.
//
// A state is two planes of N = 2^n numbers, real and imaginary parts; a dual state has two more, their tangents. The
// four programs of a segment are
//   mode 0  forward    V -> U V
//   mode 1  tangent    mode 0 with its tangent
//   mode 2  adjoint    (U V, W) -> U^T W and the cotangents of all matrices; V is uncomputed beside W
//   mode 3             mode 2 with its tangent.
// All operations are 2x2 matrices on pairs of amplitudes, diagonals, dense matrices on groups, or permutations. Going
// back, V takes u^-1 = u^H with tangent -u^H du u^H, W takes u^H with tangent du^H, and the cotangent of u is
// sum W_after V_before^H.

#include <algorithm>
#include <array>
#include <atomic>
#include <cstdint>
#include <cstring>
#include <initializer_list>
#include <list>
#include <map>
#include <memory>
#include <new>
#include <thread>
#include <utility>
#include <vector>

#include "xla/ffi/api/ffi.h"

namespace ffi = xla::ffi;

namespace {

#if defined(__AVX512F__)
constexpr int kBytes = 64;
#else
constexpr int kBytes = 32;
#endif

enum Code : int64_t { kPermutation = 0, kGates = 1, kPair = 2, kDiagonal = 3, kDense = 4, kDynamic = 5 };
constexpr int kTileBits = 5;        // bits of gates that share a pass over the state
constexpr int64_t kTile = 1 << 14;  // bytes of a tile, of all planes: half of a small first cache
constexpr int kLargest = 6;         // qubits of a dense matrix
constexpr int64_t kPart = 1 << 13;  // amplitudes that a thread takes at a time

template <class T>
struct C {
  T re = 0, im = 0;
};
template <class T> C<T> operator+(C<T> a, C<T> b) { return {a.re + b.re, a.im + b.im}; }
template <class T> C<T> operator*(C<T> a, C<T> b) { return {a.re * b.re - a.im * b.im, a.re * b.im + a.im * b.re}; }
template <class T> C<T> conj(C<T> a) { return {a.re, -a.im}; }
template <class T> C<T> operator-(C<T> a) { return {-a.re, -a.im}; }
template <class T> C<T> scaled(C<T> a, T s) { return {s * a.re, s * a.im}; }

// A d x d matrix with its tangent; d <= 2^kLargest. Entries is a place for all matrices of these sizes.
template <class T, class Entries>
struct Matrix {
  int d;
  Entries u, du;
};
template <class T>
using Small = Matrix<T, std::array<C<T>, 4>>;
template <class T>
using Large = Matrix<T, std::vector<C<T>>>;

// The planes of one state; d* are not used without tangents.
template <class T>
struct State {
  T *re, *im, *dre, *dim;
  T* operator[](int k) const { return k == 0 ? re : k == 1 ? im : k == 2 ? dre : dim; }
  static State at(T* first, int64_t size) { return {first, first + size, first + 2 * size, first + 3 * size}; }
};

// A number with its tangent.
template <class T>
struct Dual {
  C<T> x, dx;
  void operator+=(const Dual& y) { x = x + y.x, dx = dx + y.dx; }
};
template <class T> Dual<T> scaled(Dual<T> a, T s) { return {scaled(a.x, s), scaled(a.dx, s)}; }

// Where the cotangent of a matrix is added to, and its tangent, if any.
template <class T>
struct Cotangent {
  T *out, *dout;
  void add(int re, int im, const Dual<T>& y) const {
    out[re] += y.x.re, out[im] += y.x.im;
    if (dout) dout[re] += y.dx.re, dout[im] += y.dx.im;
  }
  Cotangent operator+(int64_t k) const { return {out + k, dout ? dout + k : nullptr}; }
};

// A permutation of amplitudes, amplitude i comes from table[i]; or of a matrix of 2^columns rows and 2^rows columns to
// its transpose. Going back it is the inverse: gathering is faster than scattering.
struct Order {
  const int32_t* table;
  int rows, columns;
};

template <class T, bool D, class M>
void read_matrix(const T* u, const T* du, M& m) {
  int size = m.d * m.d;
  for (int k = 0; k < size; k++) {
    m.u[k] = {u[k], u[k + size]};
    if (D) m.du[k] = {du[k], du[k + size]};
  }
}
template <class T, bool D>
Small<T> small(const T* u, const T* du) {
  Small<T> m;
  m.d = 2;
  read_matrix<T, D>(u, du, m);
  return m;
}
template <class T, bool D>
Large<T> large(const T* u, const T* du, int d) {
  Large<T> m{d, std::vector<C<T>>(d * d), std::vector<C<T>>(D ? d * d : 0)};
  read_matrix<T, D>(u, du, m);
  return m;
}

template <bool D, class M>
M dagger(const M& m) {
  M out = m;
  for (int a = 0; a < m.d; a++)
    for (int b = 0; b < m.d; b++) {
      out.u[a * m.d + b] = conj(m.u[b * m.d + a]);
      if (D) out.du[a * m.d + b] = conj(m.du[b * m.d + a]);
    }
  return out;
}

// u^H, with the tangent of the inverse: -u^H du u^H.
template <bool D, class M>
M inverse(const M& m) {
  M out = dagger<D>(m);
  if (!D) return out;
  int d = m.d;
  auto product = [d](const auto& x, const auto& y, auto& to, bool minus) {
    for (int a = 0; a < d; a++)
      for (int b = 0; b < d; b++) {
        auto sum = x[a * d] * y[b];
        for (int c = 1; c < d; c++) sum = sum + x[a * d + c] * y[c * d + b];
        to[a * d + b] = minus ? -sum : sum;
      }
  };
  auto half = m.du;
  product(m.du, out.u, half, false);
  product(out.u, half, out.du, true);
  return out;
}

// Vectors of L numbers.
template <class T, int L>
struct Vec {
  typedef T type __attribute__((vector_size(L * sizeof(T))));
};
template <class T>
struct Vec<T, 1> {
  typedef T type;
};
template <class V, class T> inline V load(const T* p) { V v; std::memcpy(&v, p, sizeof(V)); return v; }
template <class V, class T> inline void store(T* p, V v) { std::memcpy(p, &v, sizeof(V)); }

template <class V, class T>
inline void copy(T* __restrict to, const T* __restrict from, int64_t size) {
  for (int64_t k = 0; k < size; k += sizeof(V) / sizeof(T)) store(to + k, load<V>(from + k));
}

// The real and imaginary parts of two amplitudes of each of L pairs.
template <class V>
struct Quad {
  V r0, i0, r1, i1;
};
template <class V, class T>
inline Quad<V> load(const T* re, const T* im, int64_t i, int64_t j) {
  return {load<V>(re + i), load<V>(im + i), load<V>(re + j), load<V>(im + j)};
}
template <class V, class T>
inline void store(T* re, T* im, int64_t i, int64_t j, const Quad<V>& q) {
  store(re + i, q.r0), store(im + i, q.i0), store(re + j, q.r1), store(im + j, q.i1);
}

// A 2x2 matrix with its entries in all lanes.
template <class V>
struct Lanes {
  V a, ai, b, bi, c, ci, d, di;
  Quad<V> operator*(const Quad<V>& x) const {
    return {a * x.r0 - ai * x.i0 + b * x.r1 - bi * x.i1, a * x.i0 + ai * x.r0 + b * x.i1 + bi * x.r1,
            c * x.r0 - ci * x.i0 + d * x.r1 - di * x.i1, c * x.i0 + ci * x.r0 + d * x.i1 + di * x.r1};
  }
};
template <class V, class T>
Lanes<V> lanes(const C<T>* u) {
  V zero = {};
  return {zero + u[0].re, zero + u[0].im, zero + u[1].re, zero + u[1].im,
          zero + u[2].re, zero + u[2].im, zero + u[3].re, zero + u[3].im};
}
template <class V>
inline Quad<V> operator+(const Quad<V>& x, const Quad<V>& y) {
  return {x.r0 + y.r0, x.i0 + y.i0, x.r1 + y.r1, x.i1 + y.i1};
}

// t += W V^H, entry by entry, (re, im).
template <class V>
inline void transitions(const Quad<V>& w, const Quad<V>& v, V* t) {
  t[0] += w.r0 * v.r0, t[1] += w.i0 * v.r0, t[2] += w.r0 * v.r1, t[3] += w.i0 * v.r1;
  t[4] += w.r1 * v.r0, t[5] += w.i1 * v.r0, t[6] += w.r1 * v.r1, t[7] += w.i1 * v.r1;
  t[0] += w.i0 * v.i0, t[1] -= w.r0 * v.i0, t[2] += w.i0 * v.i1, t[3] -= w.r0 * v.i1;
  t[4] += w.i1 * v.i0, t[5] -= w.r1 * v.i0, t[6] += w.i1 * v.i1, t[7] -= w.r1 * v.i1;
}

// A 2x2 matrix, with its tangent dm, on all pairs (i, i + stride) of a tile.
template <class T, bool D, class V>
inline void on_tile(const State<T>& s, int64_t size, int64_t stride, const Lanes<V>& of_m, const Lanes<V>& of_dm) {
  constexpr int L = sizeof(V) / sizeof(T);
  T *__restrict re = s.re, *__restrict im = s.im, *__restrict dre = s.dre, *__restrict dim = s.dim;
  const Lanes<V> m = of_m;
  if constexpr (D) {
    const Lanes<V> dm = of_dm;
    for (int64_t a = 0; a < size; a += 2 * stride)
      for (int64_t i = a; i < a + stride; i += L)
        store(dre, dim, i, i + stride,
              m * load<V>(dre, dim, i, i + stride) + dm * load<V>((const T*)re, (const T*)im, i, i + stride));
  }
  for (int64_t a = 0; a < size; a += 2 * stride)
    for (int64_t i = a; i < a + stride; i += L) store(re, im, i, i + stride, m * load<V>(re, im, i, i + stride));
}

// The transitions of these pairs, and their tangents, added to sums.
template <class T, bool D, class V>
inline void gather_tile(const State<T>& v, const State<T>& w, int64_t size, int64_t stride, V* sums) {
  constexpr int L = sizeof(V) / sizeof(T);
  auto add = [&](V* to, const T* __restrict wre, const T* __restrict wim, const T* __restrict vre,
                 const T* __restrict vim) {
    V t[8];
    std::memcpy(t, to, sizeof(t));
    for (int64_t a = 0; a < size; a += 2 * stride)
      for (int64_t i = a; i < a + stride; i += L)
        transitions(load<V>(wre, wim, i, i + stride), load<V>(vre, vim, i, i + stride), t);
    std::memcpy(to, t, sizeof(t));
  };
  add(sums, w.re, w.im, v.re, v.im);
  if constexpr (D) {
    add(sums + 8, w.dre, w.dim, v.re, v.im);
    add(sums + 8, w.re, w.im, v.dre, v.dim);
  }
}

template <class T, int L>
T total(typename Vec<T, L>::type v) {
  if constexpr (L == 1) {
    return v;
  } else {
    T sum = 0;
    for (int k = 0; k < L; k++) sum += v[k];
    return sum;
  }
}

// One amplitude with its tangent.
template <class T, bool D>
inline void read(const State<T>& s, int64_t i, C<T>& a, C<T>& da) {
  a = {s.re[i], s.im[i]};
  if (D) da = {s.dre[i], s.dim[i]};
}
template <class T, bool D>
inline void write(const State<T>& s, int64_t i, C<T> a, C<T> da) {
  s.re[i] = a.re, s.im[i] = a.im;
  if (D) s.dre[i] = da.re, s.dim[i] = da.im;
}

template <class T, bool D>
inline void on_pair(const State<T>& s, int64_t i, int64_t j, T sign, const Small<T>& m) {
  C<T> a, da, b, db;
  read<T, D>(s, i, a, da), read<T, D>(s, j, b, db);
  C<T> u01 = scaled(m.u[1], sign), u10 = scaled(m.u[2], sign);
  C<T> dx, dy;
  if (D) {
    dx = m.u[0] * da + u01 * db + m.du[0] * a + scaled(m.du[1], sign) * b;
    dy = u10 * da + m.u[3] * db + scaled(m.du[2], sign) * a + m.du[3] * b;
  }
  write<T, D>(s, i, m.u[0] * a + u01 * b, dx);
  write<T, D>(s, j, u10 * a + m.u[3] * b, dy);
}

template <class T, bool D>
inline void on_one(const State<T>& s, int64_t i, C<T> u, C<T> du) {
  C<T> a, da;
  read<T, D>(s, i, a, da);
  write<T, D>(s, i, u * a, D ? u * da + du * a : da);
}

// W conj(V).
template <class T, bool D>
inline Dual<T> outer(const State<T>& w, int64_t i, const State<T>& v, int64_t j) {
  C<T> a, da, b, db;
  read<T, D>(w, i, a, da), read<T, D>(v, j, b, db);
  return {a * conj(b), D ? da * conj(b) + a * conj(db) : C<T>{}};
}

// The threads of XLA, and the one that calls.
class Crew {
 public:
  explicit Crew(ffi::ThreadPool pool) : pool_(pool), threads_(pool.num_threads()) {}

  // f(k) for k < count. Threads that come too late find nothing left to do, and nobody waits for them.
  template <class F>
  void share(int64_t count, F f) {
    int64_t others = std::min(threads_, count) - 1;
    if (others < 1) {
      for (int64_t k = 0; k < count; k++) f(k);
      return;
    }
    struct Job {
      F* f;
      int64_t count;
      std::atomic<int64_t> next{0}, done{0};
    };
    auto job = std::make_shared<Job>();
    job->f = &f, job->count = count;
    auto work = [job] {
      for (int64_t k; (k = job->next.fetch_add(1)) < job->count; job->done.fetch_add(1)) (*job->f)(k);
    };
    for (int64_t k = 0; k < others; k++) pool_.Schedule(decltype(work)(work));
    work();
    while (job->done.load() < count) std::this_thread::yield();  // others are at their last parts: short
  }

 private:
  ffi::ThreadPool pool_;
  int64_t threads_;
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

// Data of one key: (count, members, 2, d, d), its tangent and where its cotangent goes.
template <class T>
struct Data {
  const T *u, *du;
  Cotangent<T> to;
  int64_t row;  // numbers of one repetition
  int d;
};

template <class T, bool D>
class Program {
 public:
  Program(Machine<T, D>& machine, bool back, const int64_t* ops, const int32_t* tables, std::vector<Data<T>> data)
      : machine_(machine), back_(back), tables_(tables), data_(std::move(data)) {
    count_ = ops[0], n_ = ops[1];
    const int64_t* op = ops + 3;
    for (int64_t k = 0; k < ops[2]; k++, op += op[0]) {
      ops_.push_back(op);
      if (op[1] == kPermutation) orders_[op] = order(op);
      if (op[1] != kDiagonal) continue;
      auto& codes = codes_[op];
      for (int64_t i = 0; i < int64_t{1} << n_; i++) {
        int64_t amplitude = tables_[op[4] + i];
        codes.push_back((amplitude & op[6]) != op[7] ? 0 : 1 + __builtin_parityll(amplitude & op[5]));
      }
    }
  }

  const int32_t *masks = nullptr, *which = nullptr, *qubits = nullptr;  // of a dynamic segment
  int64_t widest = 0;

  void run() {
    const Order* waiting = nullptr;  // a permutation that the next gates do, if they follow it
    for (int64_t s = 0; s < count_; s++)
      for (size_t k = 0; k < ops_.size(); k++) {
        const int64_t* op = ops_[back_ ? ops_.size() - 1 - k : k];
        if (waiting && op[1] != kGates) machine_.permute(*std::exchange(waiting, nullptr));
        if (op[1] == kPermutation)
          waiting = &orders_.at(op);
        else
          step(op, back_ ? count_ - 1 - s : s, std::exchange(waiting, nullptr));
      }
    if (waiting) machine_.permute(*waiting);
  }

 private:
  const T* u(int64_t key, int64_t l, int64_t member) const { return data_[key].u + place(key, l, member); }
  const T* du(int64_t key, int64_t l, int64_t member) const {
    return D ? data_[key].du + place(key, l, member) : nullptr;
  }
  Cotangent<T> to(int64_t key, int64_t l, int64_t member) const {
    return data_[key].to.out ? data_[key].to + place(key, l, member) : data_[key].to;
  }
  int64_t place(int64_t key, int64_t l, int64_t member) const {
    return l * data_[key].row + member * 2 * data_[key].d * data_[key].d;
  }

  // op: length, code, ...
  void step(const int64_t* op, int64_t l, const Order* before) {
    switch (op[1]) {
      case kGates:  // key, first member, (member, bit) ...
        return machine_.gates(before, op + 4, (op[0] - 4) / 2, u(op[2], l, op[3]), du(op[2], l, op[3]),
                              to(op[2], l, op[3]));
      case kPair:  // key, member, table, pairs
        return machine_.pair(tables_ + op[4], op[5], u(op[2], l, op[3]), du(op[2], l, op[3]), to(op[2], l, op[3]));
      case kDiagonal: {  // key, member, layout, m, controls, values
        const uint8_t* codes = codes_.at(op).data();
        return machine_.diagonal([=](int64_t i) { return codes[i]; }, u(op[2], l, op[3]), du(op[2], l, op[3]),
                                 to(op[2], l, op[3]));
      }
      case kDense: {  // key, member, table, groups
        const int32_t* table = tables_ + op[4];
        int64_t groups = op[5];
        return machine_.dense([=](int64_t k, int64_t g) -> int64_t { return table[k * groups + g]; }, groups,
                              data_[op[2]].d, u(op[2], l, op[3]), du(op[2], l, op[3]), to(op[2], l, op[3]));
      }
      case kDynamic:  // first key of matrices (that of pairs is before it, if any)
        return dynamic(op[2], l);
    }
  }

  // op: length, code, rows (0: table), table
  Order order(const int64_t* op) {
    if (op[2]) {
      int rows = __builtin_ctzll(op[2]), columns = static_cast<int>(n_) - rows;
      return back_ ? Order{nullptr, columns, rows} : Order{nullptr, rows, columns};
    }
    const int32_t* table = tables_ + op[3];
    if (!back_) return {table, 0, static_cast<int>(n_)};
    auto& inverse = inverses_.emplace_back(int64_t{1} << n_);
    for (int64_t i = 0; i < int64_t{1} << n_; i++) inverse[table[i]] = i;
    return {inverse.data(), 0, static_cast<int>(n_)};
  }

  void dynamic(int64_t dense_first, int64_t l) {
    int64_t key = which ? which[l] - 1 + dense_first : 0;
    const int32_t* mask = masks + 5 * l;
    if (key < dense_first) return machine_.masked(mask, u(0, l, 0), du(0, l, 0), to(0, l, 0));
    int d = data_[key].d;
    int64_t offsets[1 << kLargest] = {0}, all;
    for (int a = 0; a < d; a++)
      for (int j = 0; j < widest; j++)
        if (a >> j & 1) offsets[a] |= int64_t{1} << qubits[l * widest + j];
    all = offsets[d - 1];
    std::vector<int64_t> starts;
    for (int64_t i = 0; i < int64_t{1} << n_; i++)
      if (!(i & all) && (i & mask[3]) == mask[4]) starts.push_back(i);
    machine_.dense([&](int64_t k, int64_t g) { return starts[g] | offsets[k]; }, starts.size(), d, u(key, l, 0),
                   du(key, l, 0), to(key, l, 0));
  }

  Machine<T, D>& machine_;
  bool back_;
  const int32_t* tables_;
  std::vector<Data<T>> data_;
  std::vector<const int64_t*> ops_;
  std::map<const int64_t*, std::vector<uint8_t>> codes_;
  std::map<const int64_t*, Order> orders_;
  std::list<std::vector<int32_t>> inverses_;
  int64_t count_, n_;
};

// Operands: ops, tables, V, [dV,] [W, [dW,]] keys x u, [keys x du,] [masks, [which, qubits]].
// Results: V', [dV'] | W', [dW',] keys x cotangent, [keys x its tangent].
template <class T, bool D>
ffi::Error evolve(ffi::ThreadPool pool, ffi::RemainingArgs args, ffi::RemainingRets rets, bool back, int64_t keys) {
  int at = 0;
  auto next = [&]() -> ffi::AnyBuffer { return args.get<ffi::AnyBuffer>(at++).value(); };
  auto output = [&](int64_t k) -> ffi::AnyBuffer { return *rets.get<ffi::AnyBuffer>(k).value(); };
  auto integers = [](const ffi::AnyBuffer& b) { return b.typed_data<int32_t>(); };
  ffi::AnyBuffer ops = next(), tables = next();
  ffi::AnyBuffer V = next(), dV = D ? next() : V, W = back ? next() : V, dW = back && D ? next() : V;
  std::vector<ffi::AnyBuffer> us, dus;
  for (int64_t k = 0; k < keys; k++) us.push_back(next());
  for (int64_t k = 0; k < keys * D; k++) dus.push_back(next());
  auto shape = V.dimensions();
  int64_t S = shape[1], N = shape[2], n = __builtin_ctzll(N);
  auto result = [&](int64_t k) { return static_cast<T*>(output(k).untyped_data()); };
  std::vector<Data<T>> data;
  for (int64_t k = 0; k < keys; k++) {
    auto dims = us[k].dimensions();
    bool single = dims.size() == 4;  // a dynamic segment has no axis of members
    Data<T> d{us[k].typed_data<T>(), D ? dus[k].typed_data<T>() : nullptr, {nullptr, nullptr},
              static_cast<int64_t>(us[k].element_count() / dims[0]), static_cast<int>(dims[single ? 3 : 4])};
    if (back) {
      d.to = {result(1 + D + k), D ? result(2 + keys + k) : nullptr};
      std::memset(d.to.out, 0, us[k].size_bytes());
      if (D) std::memset(d.to.dout, 0, us[k].size_bytes());
    }
    data.push_back(d);
  }
  int64_t planes = D ? 4 : 2;
  auto room = aligned<T>((back ? 4 : 2) * planes * N);
  Machine<T, D> machine(n, back, Crew(pool));
  State<T>* states[] = {&machine.v, &machine.spare_v, &machine.w, &machine.spare_w};
  for (int k = 0; k < (back ? 4 : 2); k++) *states[k] = State<T>::at(room.get() + k * planes * N, N);
  Program<T, D> program(machine, back, ops.typed_data<int64_t>(), integers(tables), data);
  if (at < static_cast<int>(args.size())) program.masks = integers(next());
  if (at < static_cast<int>(args.size())) {
    program.which = integers(next());
    ffi::AnyBuffer qubits = next();
    program.qubits = integers(qubits), program.widest = qubits.dimensions()[1];
  }
  auto in = [&](T* re, T* im, const ffi::AnyBuffer& from, int64_t s) {
    const T* x = from.typed_data<T>() + s * N;
    machine.in_parts(N, [&](int64_t begin, int64_t end, int64_t) {
      std::copy(x + begin, x + end, re + begin), std::copy(x + S * N + begin, x + S * N + end, im + begin);
    });
  };
  auto out = [&](T* to, const T* re, const T* im, int64_t s) {
    machine.in_parts(N, [&](int64_t begin, int64_t end, int64_t) {
      std::copy(re + begin, re + end, to + s * N + begin), std::copy(im + begin, im + end, to + (S + s) * N + begin);
    });
  };
  for (int64_t s = 0; s < S; s++) {
    auto &v = machine.v, &w = machine.w;
    in(v.re, v.im, V, s);
    if (D) in(v.dre, v.dim, dV, s);
    if (back) in(w.re, w.im, W, s);
    if (back && D) in(w.dre, w.dim, dW, s);
    program.run();
    auto& end = back ? w : v;
    out(result(0), end.re, end.im, s);
    if (D) out(result(1), end.dre, end.dim, s);
  }
  return ffi::Error::Success();
}

ffi::Error run(ffi::ThreadPool pool, int64_t mode, int64_t keys, ffi::RemainingArgs args, ffi::RemainingRets rets) {
  bool single = args.get<ffi::AnyBuffer>(2).value().element_type() == ffi::DataType::F32;
  bool tangent = mode & 1, back = mode & 2;
  auto evolved = single ? (tangent ? evolve<float, true> : evolve<float, false>)
                        : (tangent ? evolve<double, true> : evolve<double, false>);
  return evolved(pool, args, rets, back, keys);
}

}  // namespace

XLA_FFI_DEFINE_HANDLER_SYMBOL(PullbackCircuit, run,
                              ffi::Ffi::Bind()
                                  .Ctx<ffi::ThreadPool>()
                                  .Attr<int64_t>("mode")
                                  .Attr<int64_t>("keys")
                                  .RemainingArgs()
                                  .RemainingRets());

// Circuits in one call: what `_kernels.py` and `_dynamic.py` do step by step, done for a whole segment.
//
// A state is two planes of N = 2^n numbers, real and imaginary parts; a dual state has two more, their tangents. The
// four programs of a segment are
//   mode 0  forward    V -> U V
//   mode 1  tangent    (V, dV) -> d(U V)
//   mode 2  adjoint    (U V, W) -> U^T W and the cotangents of all matrices; V is uncomputed beside W
//   mode 3  the tangent of mode 2.
// All operations are 2x2 matrices on pairs of amplitudes, diagonals, dense matrices on groups, or permutations. Going
// back, V takes u^-1 = u^H with tangent -u^H du u^H, W takes u^H with tangent du^H, and the cotangent of u is
// sum W_after V_before^H.

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <map>
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
constexpr int kTileBits = 5;     // bits of gates that share a pass over the state
constexpr int64_t kRun = 64;     // neighbouring amplitudes of a tile
constexpr int kLargest = 6;      // qubits of a dense matrix

template <class T>
struct C {
  T re = 0, im = 0;
};
template <class T> C<T> operator+(C<T> a, C<T> b) { return {a.re + b.re, a.im + b.im}; }
template <class T> C<T> operator*(C<T> a, C<T> b) { return {a.re * b.re - a.im * b.im, a.re * b.im + a.im * b.re}; }
template <class T> C<T> conj(C<T> a) { return {a.re, -a.im}; }
template <class T> C<T> operator-(C<T> a) { return {-a.re, -a.im}; }
template <class T> C<T> scaled(C<T> a, T s) { return {s * a.re, s * a.im}; }

// A d x d matrix with its tangent; d <= 2^kLargest.
template <class T>
struct Matrix {
  int d = 2;
  std::vector<C<T>> u, du;
};

// The planes of one state; d* are null without tangents.
template <class T>
struct State {
  T *re, *im, *dre, *dim;
};

template <class T, bool D>
Matrix<T> matrix(const T* u, const T* du, int d) {
  Matrix<T> m{d, std::vector<C<T>>(d * d), std::vector<C<T>>(D ? d * d : 0)};
  for (int k = 0; k < d * d; k++) {
    m.u[k] = {u[k], u[k + d * d]};
    if (D) m.du[k] = {du[k], du[k + d * d]};
  }
  return m;
}

template <class T, bool D>
Matrix<T> dagger(const Matrix<T>& m) {
  Matrix<T> out = m;
  for (int a = 0; a < m.d; a++)
    for (int b = 0; b < m.d; b++) {
      out.u[a * m.d + b] = conj(m.u[b * m.d + a]);
      if (D) out.du[a * m.d + b] = conj(m.du[b * m.d + a]);
    }
  return out;
}

// u^H, with the tangent of the inverse: -u^H du u^H.
template <class T, bool D>
Matrix<T> inverse(const Matrix<T>& m) {
  Matrix<T> out = dagger<T, D>(m);
  if (!D) return out;
  int d = m.d;
  std::vector<C<T>> half(d * d);
  for (int a = 0; a < d; a++)
    for (int b = 0; b < d; b++) {
      C<T> sum;
      for (int c = 0; c < d; c++) sum = sum + m.du[a * d + c] * out.u[c * d + b];
      half[a * d + b] = sum;
    }
  for (int a = 0; a < d; a++)
    for (int b = 0; b < d; b++) {
      C<T> sum;
      for (int c = 0; c < d; c++) sum = sum + out.u[a * d + c] * half[c * d + b];
      out.du[a * d + b] = -sum;
    }
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

// A 2x2 matrix with its entries in all lanes; as values of their own, which no store to a state can change.
template <class V>
struct Lanes {
  V a, ai, b, bi, c, ci, d, di;
  template <class T>
  explicit Lanes(const C<T>* u)
      : a(V{} + u[0].re), ai(V{} + u[0].im), b(V{} + u[1].re), bi(V{} + u[1].im),
        c(V{} + u[2].re), ci(V{} + u[2].im), d(V{} + u[3].re), di(V{} + u[3].im) {}
  Quad<V> operator*(const Quad<V>& x) const {
    return {a * x.r0 - ai * x.i0 + b * x.r1 - bi * x.i1, a * x.i0 + ai * x.r0 + b * x.i1 + bi * x.r1,
            c * x.r0 - ci * x.i0 + d * x.r1 - di * x.i1, c * x.i0 + ci * x.r0 + d * x.i1 + di * x.r1};
  }
};
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

// A 2x2 matrix on a run of pairs of amplitudes, at i and j; the second four of u are its tangent.
template <class T, bool D, class V>
inline void on_runs(const State<T>& s, int64_t i, int64_t j, int64_t run, const C<T>* u) {
  constexpr int L = sizeof(V) / sizeof(T);
  const Lanes<V> m(u);
  for (int64_t k = 0; k < run; k += L) {
    Quad<V> x = load<V>(s.re, s.im, i + k, j + k);
    if constexpr (D) {
      const Lanes<V> dm(u + 4);
      store(s.dre, s.dim, i + k, j + k, m * load<V>(s.dre, s.dim, i + k, j + k) + dm * x);
    }
    store(s.re, s.im, i + k, j + k, m * x);
  }
}

// Going back: v by u, then the transitions, added to t, then w by uw. Three loops, so that each keeps its constants
// and sums in registers.
template <class T, bool D, class V>
inline void back_on_runs(const State<T>& v, const State<T>& w, int64_t i, int64_t j, int64_t run, const C<T>* u,
                         const C<T>* uw, V* sums) {
  constexpr int L = sizeof(V) / sizeof(T);
  on_runs<T, D, V>(v, i, j, run, u);
  V t[8];
  std::memcpy(t, sums, sizeof(t));
  for (int64_t k = 0; k < run; k += L) {
    if constexpr (D) {
      transitions(load<V>(w.dre, w.dim, i + k, j + k), load<V>(v.re, v.im, i + k, j + k), t);
      transitions(load<V>(w.re, w.im, i + k, j + k), load<V>(v.dre, v.dim, i + k, j + k), t);
    } else {
      transitions(load<V>(w.re, w.im, i + k, j + k), load<V>(v.re, v.im, i + k, j + k), t);
    }
  }
  std::memcpy(sums, t, sizeof(t));
  on_runs<T, D, V>(w, i, j, run, uw);
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
inline void on_pair(const State<T>& s, int64_t i, int64_t j, T sign, const Matrix<T>& m) {
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

// W conj(V), or its tangent.
template <class T, bool D>
inline C<T> outer(const State<T>& w, int64_t i, const State<T>& v, int64_t j) {
  C<T> a, da, b, db;
  read<T, D>(w, i, a, da), read<T, D>(v, j, b, db);
  return D ? da * conj(b) + a * conj(db) : a * conj(b);
}

template <class T, bool D>
class Machine {
 public:
  // spare: a plane of its own.
  Machine(int64_t n, bool back, T* spare) : N_(int64_t{1} << n), back_(back), spare_(spare) {}

  State<T> v, w;  // w is used going back only

  void permute(const int32_t* table) {
    each_plane([&](const T* __restrict p, T* __restrict x) {
      if (back_)
        for (int64_t i = 0; i < N_; i++) x[table[i]] = p[i];
      else
        for (int64_t i = 0; i < N_; i++) x[i] = p[table[i]];
    });
  }

  // out[r C + c] = in[c R + r]; `there` is in the direction of the circuit.
  void transpose(int64_t R, int64_t C_) {
    int64_t rows = back_ ? C_ : R, columns = back_ ? R : C_;
    each_plane([&](const T* __restrict p, T* __restrict x) {
      for (int64_t r0 = 0; r0 < rows; r0 += 16)
        for (int64_t c0 = 0; c0 < columns; c0 += 16)
          for (int64_t r = r0; r < std::min(rows, r0 + 16); r++)
            for (int64_t c = c0; c < std::min(columns, c0 + 16); c++) x[r * columns + c] = p[c * rows + r];
    });
  }

  // gates: count of (member, bit), on different bits.
  void gates(const int64_t* gates, int64_t count, const T* u, const T* du, T* out) {
    for (int64_t first = 0; first < count; first += kTileBits)
      tile(gates + 2 * first, std::min<int64_t>(kTileBits, count - first), u, du, out);
  }

  void pair(const int32_t* table, int64_t count, const T* u, const T* du, T* out) {
    Matrix<T> m = matrix<T, D>(u, du, 2);
    const int32_t *is = table, *js = table + count, *signs = table + 2 * count;
    with(m, out, [&](auto&& on, auto&& gather) {
      for (int64_t k = 0; k < count; k++) on(is[k], js[k], T(signs[k]));
      for (int64_t k = 0; k < count; k++) gather(is[k], js[k], T(signs[k]));
    });
  }

  // code: 0 nothing, 1 u00, 2 u11 of each amplitude.
  template <class Code>
  void diagonal(Code code, const T* u, const T* du, T* out) {
    Matrix<T> m = matrix<T, D>(u, du, 2);
    auto on = [&](const State<T>& s, const Matrix<T>& m) {
      for (int64_t i = 0; i < N_; i++)
        if (int c = code(i)) on_one<T, D>(s, i, m.u[3 * (c - 1)], D ? m.du[3 * (c - 1)] : C<T>{});
    };
    if (!back_) return on(v, m);
    on(v, inverse<T, D>(m));
    C<T> t[2];
    for (int64_t i = 0; i < N_; i++)
      if (int c = code(i)) t[c - 1] = t[c - 1] + outer<T, D>(w, i, v, i);
    out[0] += t[0].re, out[4] += t[0].im, out[3] += t[1].re, out[7] += t[1].im;
    on(w, dagger<T, D>(m));
  }

  // starts: where each group begins is table[0][g]; table (d, groups).
  template <class Place>
  void dense(Place place, int64_t groups, int d, const T* u, const T* du, T* out) {
    Matrix<T> m = matrix<T, D>(u, du, d);
    auto on = [&](const State<T>& s, const Matrix<T>& m) {
      C<T> a[1 << kLargest], da[1 << kLargest];
      for (int64_t g = 0; g < groups; g++) {
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
    on(v, inverse<T, D>(m));
    for (int r = 0; r < d; r++)
      for (int k = 0; k < d; k++) {
        C<T> t;
        for (int64_t g = 0; g < groups; g++) t = t + outer<T, D>(w, place(r, g), v, place(k, g));
        out[r * d + k] += t.re, out[d * d + r * d + k] += t.im;
      }
    on(w, dagger<T, D>(m));
  }

  // A pair operation by its masks m, x, s, controls, values, in the order of the amplitudes.
  void masked(const int32_t* masks, const T* u, const T* du, T* out) {
    int64_t m = masks[0], x = masks[1], s = masks[2], controls = masks[3], values = masks[4];
    if (x == 0)
      return diagonal(
          [=](int64_t i) { return (i & controls) != values ? 0 : 1 + __builtin_parityll(i & m); }, u, du, out);
    if (m == x && !(x & (x - 1)) && !s && !controls) {
      int64_t gate[2] = {0, __builtin_ctzll(x)};
      return gates(gate, 1, u, du, out);
    }
    Matrix<T> matrix_ = matrix<T, D>(u, du, 2);
    int64_t low = x & -x;  // of each pair {i, i ^ x} the one without this bit is visited
    with(matrix_, out, [&](auto&& on, auto&& gather) {
      auto all = [&](auto&& f) {
        for (int64_t i = 0; i < N_; i++) {
          if ((i & low) || (i & controls) != values) continue;
          bool b = __builtin_parityll(i & m);
          f(b ? i ^ x : i, b ? i : i ^ x, __builtin_parityll(i & s) ? T(-1) : T(1));
        }
      };
      all(on), all(gather);
    });
  }

 private:
  // f(from, to) for every plane.
  template <class F>
  void each_plane(F f) {
    auto moved = [&](T*& plane) { f(plane, spare_), std::swap(plane, spare_); };
    for (State<T>* s : {&v, &w}) {
      if (s == &w && !back_) break;
      moved(s->re), moved(s->im);
      if (D) moved(s->dre), moved(s->dim);
    }
  }

  // Runs body(on, gather) as the mode needs: forward `on` acts on v; going back first on v, then gather, then on w.
  template <class Body>
  void with(const Matrix<T>& m, T* out, Body body) {
    auto nothing = [](int64_t, int64_t, T) {};
    auto act = [](const State<T>& s, const Matrix<T>& m) {
      return [&s, &m](int64_t i, int64_t j, T sign) { on_pair<T, D>(s, i, j, sign, m); };
    };
    if (!back_) return body(act(v, m), nothing);
    Matrix<T> inv = inverse<T, D>(m), dag = dagger<T, D>(m);
    body(act(v, inv), nothing);
    C<T> t[4];
    body(nothing, [&](int64_t i, int64_t j, T sign) {
      t[0] = t[0] + outer<T, D>(w, i, v, i);
      t[1] = t[1] + scaled(outer<T, D>(w, i, v, j), sign);
      t[2] = t[2] + scaled(outer<T, D>(w, j, v, i), sign);
      t[3] = t[3] + outer<T, D>(w, j, v, j);
    });
    for (int k = 0; k < 4; k++) out[k] += t[k].re, out[k + 4] += t[k].im;
    body(act(w, dag), nothing);
  }

  void tile(const int64_t* gates, int64_t count, const T* u, const T* du, T* out) {
    int64_t lowest = 63;
    for (int64_t g = 0; g < count; g++) lowest = std::min(lowest, gates[2 * g + 1]);
    int64_t run = std::min(kRun, int64_t{1} << lowest);
    constexpr int L = kBytes / sizeof(T);
    run >= L ? tile_of<L>(gates, count, run, u, du, out) : tile_of<1>(gates, count, run, u, du, out);
  }

  template <int L>
  void tile_of(const int64_t* gates, int64_t count, int64_t run, const T* u, const T* du, T* out) {
    typedef typename Vec<T, L>::type V;
    int64_t rows = int64_t{1} << count, mask = 0, offset[1 << kTileBits];
    for (int64_t a = 0; a < rows; a++) {
      offset[a] = 0;
      for (int64_t g = 0; g < count; g++)
        if (a >> g & 1) offset[a] |= int64_t{1} << gates[2 * g + 1];
    }
    mask = offset[rows - 1];
    // Neighbouring bits: the rows of a pair that differ below the gate's bit are one longer run.
    bool joined = run == offset[1];
    for (int64_t g = 1; g < count; g++) joined = joined && offset[int64_t{1} << g] == offset[1] << g;
    // For each gate: the matrix for v, and going back that for w; the cotangents.
    C<T> mv[kTileBits][8], mw[kTileBits][8];
    V sums[kTileBits][8];
    std::memset(sums, 0, sizeof(sums));
    for (int64_t g = 0; g < count; g++) {
      int64_t at = 8 * gates[2 * g];
      Matrix<T> m = matrix<T, D>(u + at, D ? du + at : nullptr, 2);
      Matrix<T> a = back_ ? inverse<T, D>(m) : m, b = dagger<T, D>(m);
      for (int k = 0; k < 4; k++) {
        mv[g][k] = a.u[k], mw[g][k] = b.u[k];
        if (D) mv[g][k + 4] = a.du[k], mw[g][k + 4] = b.du[k];
      }
    }
    for (int64_t base = 0; base < N_; base = ((base | mask) + run) & ~mask) {
      for (int64_t step = 0; step < count; step++) {
        int64_t g = back_ ? count - 1 - step : step;
        for (int64_t a = 0; a < rows; a += joined ? int64_t{1} << g : 1) {
          if (a >> g & 1) continue;
          int64_t i = base + offset[a], j = base + offset[a | int64_t{1} << g], length = joined ? run << g : run;
          if (back_)
            back_on_runs<T, D, V>(v, w, i, j, length, mv[g], mw[g], sums[g]);
          else
            on_runs<T, D, V>(v, i, j, length, mv[g]);
        }
      }
      if (((base | mask) + run) >= N_) break;
    }
    if (!back_) return;
    for (int64_t g = 0; g < count; g++)
      for (int k = 0; k < 4; k++) {
        out[8 * gates[2 * g] + k] += total<T, L>(sums[g][2 * k]);
        out[8 * gates[2 * g] + 4 + k] += total<T, L>(sums[g][2 * k + 1]);
      }
  }

  int64_t N_;
  bool back_;
  T* spare_;
};

// Data of one key: (count, members, 2, d, d), its tangent and its cotangent.
template <class T>
struct Data {
  const T *u, *du;
  T* out;
  int64_t row;  // numbers of one repetition
  int d;
};

template <class T, bool D>
class Program {
 public:
  Program(Machine<T, D>& machine, const int64_t* ops, const int32_t* tables, std::vector<Data<T>> data)
      : machine_(machine), tables_(tables), data_(std::move(data)) {
    count_ = ops[0], n_ = ops[1];
    const int64_t* op = ops + 3;
    for (int64_t k = 0; k < ops[2]; k++, op += op[0]) {
      ops_.push_back(op);
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

  void run(bool back) {
    for (int64_t s = 0; s < count_; s++) {
      int64_t l = back ? count_ - 1 - s : s;
      for (size_t k = 0; k < ops_.size(); k++) step(ops_[back ? ops_.size() - 1 - k : k], l);
    }
  }

 private:
  const T* u(int64_t key, int64_t l, int64_t member) const { return data_[key].u + place(key, l, member); }
  const T* du(int64_t key, int64_t l, int64_t member) const {
    return D ? data_[key].du + place(key, l, member) : nullptr;
  }
  T* out(int64_t key, int64_t l, int64_t member) const {
    return data_[key].out ? data_[key].out + place(key, l, member) : nullptr;
  }
  int64_t place(int64_t key, int64_t l, int64_t member) const {
    return l * data_[key].row + member * 2 * data_[key].d * data_[key].d;
  }

  // op: length, code, ...
  void step(const int64_t* op, int64_t l) {
    switch (op[1]) {
      case kPermutation:  // rows (0: table), table
        return op[2] ? machine_.transpose(op[2], (int64_t{1} << n_) / op[2]) : machine_.permute(tables_ + op[3]);
      case kGates:  // key, first member, (member, bit) ...
        return machine_.gates(op + 4, (op[0] - 4) / 2, u(op[2], l, op[3]), du(op[2], l, op[3]), out(op[2], l, op[3]));
      case kPair:  // key, member, table, pairs
        return machine_.pair(tables_ + op[4], op[5], u(op[2], l, op[3]), du(op[2], l, op[3]), out(op[2], l, op[3]));
      case kDiagonal: {  // key, member, layout, m, controls, values
        const uint8_t* codes = codes_.at(op).data();
        return machine_.diagonal([=](int64_t i) { return codes[i]; }, u(op[2], l, op[3]), du(op[2], l, op[3]),
                                 out(op[2], l, op[3]));
      }
      case kDense: {  // key, member, table, groups
        const int32_t* table = tables_ + op[4];
        int64_t groups = op[5];
        return machine_.dense([=](int64_t k, int64_t g) -> int64_t { return table[k * groups + g]; }, groups,
                              data_[op[2]].d, u(op[2], l, op[3]), du(op[2], l, op[3]), out(op[2], l, op[3]));
      }
      case kDynamic:  // first key of matrices (that of pairs is before it, if any)
        return dynamic(op[2], l);
    }
  }

  void dynamic(int64_t dense_first, int64_t l) {
    int64_t key = which ? which[l] - 1 + dense_first : 0;
    const int32_t* mask = masks + 5 * l;
    if (key < dense_first) return machine_.masked(mask, u(0, l, 0), du(0, l, 0), out(0, l, 0));
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
                   du(key, l, 0), out(key, l, 0));
  }

  Machine<T, D>& machine_;
  const int32_t* tables_;
  std::vector<Data<T>> data_;
  std::vector<const int64_t*> ops_;
  std::map<const int64_t*, std::vector<uint8_t>> codes_;
  int64_t count_, n_;
};

// Operands: ops, tables, V, [dV,] [W, [dW,]] keys x u, [keys x du,] [masks, [which, qubits]].
// Results: V' | dV' | W', keys x cotangent | dW', keys x tangent of the cotangent.
template <class T, bool D>
ffi::Error evolve(ffi::RemainingArgs args, ffi::RemainingRets rets, bool back, int64_t keys) {
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
  auto* result = static_cast<T*>(output(0).untyped_data());
  std::vector<Data<T>> data;
  for (int64_t k = 0; k < keys; k++) {
    auto dims = us[k].dimensions();
    bool single = dims.size() == 4;  // a dynamic segment has no axis of members
    Data<T> d{us[k].typed_data<T>(), D ? dus[k].typed_data<T>() : nullptr, nullptr,
              static_cast<int64_t>(us[k].element_count() / dims[0]), static_cast<int>(dims[single ? 3 : 4])};
    if (back) {
      d.out = static_cast<T*>(output(1 + k).untyped_data());
      std::memset(d.out, 0, us[k].size_bytes());
    }
    data.push_back(d);
  }
  std::vector<T> planes(9 * N);
  Machine<T, D> machine(n, back, planes.data() + 8 * N);
  Program<T, D> program(machine, ops.typed_data<int64_t>(), integers(tables), data);
  if (at < static_cast<int>(args.size())) program.masks = integers(next());
  if (at < static_cast<int>(args.size())) {
    program.which = integers(next());
    ffi::AnyBuffer qubits = next();
    program.qubits = integers(qubits), program.widest = qubits.dimensions()[1];
  }
  auto state = [&](int first) {
    T* p = planes.data() + first * N;
    return State<T>{p, p + N, p + 2 * N, p + 3 * N};
  };
  machine.v = state(0), machine.w = state(4);  // permutations exchange planes
  auto copy = [&](T* re, T* im, const ffi::AnyBuffer& from, int64_t s) {
    const T* x = from.typed_data<T>() + s * N;
    std::memcpy(re, x, N * sizeof(T)), std::memcpy(im, x + S * N, N * sizeof(T));
  };
  for (int64_t s = 0; s < S; s++) {
    auto &v = machine.v, &w = machine.w;
    copy(v.re, v.im, V, s);
    if (D) copy(v.dre, v.dim, dV, s);
    if (back) copy(w.re, w.im, W, s);
    if (back && D) copy(w.dre, w.dim, dW, s);
    program.run(back);
    auto& end = back ? w : v;
    std::memcpy(result + s * N, D ? end.dre : end.re, N * sizeof(T));
    std::memcpy(result + (S + s) * N, D ? end.dim : end.im, N * sizeof(T));
  }
  return ffi::Error::Success();
}

ffi::Error run(int64_t mode, int64_t keys, ffi::RemainingArgs args, ffi::RemainingRets rets) {
  bool single = args.get<ffi::AnyBuffer>(2).value().element_type() == ffi::DataType::F32;
  bool tangent = mode & 1, back = mode & 2;
  if (single) return tangent ? evolve<float, true>(args, rets, back, keys) : evolve<float, false>(args, rets, back, keys);
  return tangent ? evolve<double, true>(args, rets, back, keys) : evolve<double, false>(args, rets, back, keys);
}

}  // namespace

XLA_FFI_DEFINE_HANDLER_SYMBOL(PullbackCircuit, run,
                              ffi::Ffi::Bind().Attr<int64_t>("mode").Attr<int64_t>("keys").RemainingArgs().RemainingRets());

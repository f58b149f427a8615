// The same on vectors of numbers: 2x2 matrices on the pairs of a tile.
#pragma once

#include <cstdint>
#include <cstring>

#include "numbers.h"

namespace {

#if defined(__AVX512F__)
constexpr int kBytes = 64;
#else
constexpr int kBytes = 32;
#endif

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

}  // namespace

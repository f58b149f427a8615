// Complex numbers and matrices with their tangents, and what they do to amplitudes.
#pragma once

#include <array>
#include <cstdint>
#include <vector>

namespace {

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

}  // namespace

// Circuits in one call: what the kernels in Python do step by step, done for a whole segment.
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
#include <cstdint>
#include <cstring>
#include <vector>

#include "xla/ffi/api/ffi.h"
#include "machine.h"
#include "program.h"

namespace {

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

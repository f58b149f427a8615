"""The derivative of a circuit: the state is uncomputed beside its cotangent, and no state is stored.

A segment is a chain of unitary steps ψ_{l+1} = U_l ψ_l. With K_l = U_l† dU_l its tangent and its adjoint program are

    (ψ, dψ) → (U ψ, U (dψ + K ψ)),            (ψ, λ) → (U† ψ, U† λ), and the cotangent of K_l from both,

which are reversible scans of their own. So evolution is a `custom_jvp` whose tangent is a `linear_map` of the one with
the other as its transpose: every mode and order of derivative runs in the memory of a few states. The cotangent of U_l
is U_l times that of K_l; products for all l are taken outside the scans. Where a state and its tangent, or a gradient
and its tangent, are wanted together, one program makes both (`core.fused`).

Matrices that are given entry by entry can be varied to where they are not unitary. What undoes the state is then u⁻¹
and not u†: the same numbers, but another derivative, which second derivatives see. `_inverse_adjoint(u)` has it.

Source: X.-Z. Luo, J.-G. Liu, P. Zhang, L. Wang, Quantum 4, 341 (2020), arXiv:1912.10877.
"""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Complex

from pullback.circuits._engine import _native as native
from pullback.circuits._engine._kernels import dagger, multiply
from pullback.circuits._engine._keys import Key, Sort
from pullback.circuits._engine._layout import permute
from pullback.circuits._engine._recipes import Leaves
from pullback.circuits._engine._schedule import Segment, schedule
from pullback.circuits._input import at_least_single
from pullback.core import (
    Adjoint,
    Checkpoint,
    Direct,
    InputError,
    TwoLevel,
    Uncompute,
    complex_dtype,
    fused,
    linear_map,
    vary_like,
)
from pullback.loops import reversible_scan, scan


def evolve(circuit, V, adjoint: Adjoint, uniforms=None):
    """V (2, S, N) after the circuit; `uniforms` (program.matrices, S) decide which branches of channels states take.

    The circuit is a program with its arrays, as a `Circuit` and what it is compiled to are.

    Raises:
        InputError: the adjoint is none for circuits, or uncomputes a circuit that is not unitary.
    """
    if not isinstance(adjoint, (Uncompute, Checkpoint, TwoLevel, Direct)):
        raise InputError(f"circuits: the adjoint must be Uncompute, Checkpoint, TwoLevel or Direct, not {adjoint}.")
    if isinstance(adjoint, Uncompute) and not circuit.program.is_unitary:
        raise InputError("circuits: a circuit with a matrix that is not unitary needs adjoint=Checkpoint(…).")
    segments, last = schedule(circuit.program)
    leaves = cast(circuit, V.dtype, uniforms)
    for segment in segments:
        V = through(segment, V, segment.data(leaves), adjoint)
    return permute(V, last)


def matrix(circuit) -> Complex[Array, "N N"]:
    """The matrix of a circuit without channels; column j is what becomes of the basis state j."""
    dtype, N = at_least_single(circuit.parameters.dtype), 1 << circuit.program.n
    V = jnp.stack([jnp.eye(N, dtype=dtype), jnp.zeros((N, N), dtype)])
    V = evolve(circuit, V, Uncompute() if circuit.program.is_unitary else Checkpoint(1))
    return jax.lax.complex(V[0], V[1]).T


def uncompute(circuit, V):
    """V (2, S, N) before the unitary circuit."""
    segments, last = schedule(circuit.program)
    leaves = cast(circuit, V.dtype)
    if last is not None:
        V = permute(V, np.argsort(last))
    for segment in reversed(segments):
        x = segment.data(leaves), segment.fixed
        V = vary_like(V, x)
        V, _ = jax.lax.scan(lambda V, x, s=segment: (_undo(s, V, *x), None), V, x, segment.count, reverse=True)
    return V


def cast(circuit, dtype, uniforms=None) -> Leaves:
    """The leaves of a circuit in the precision of the state."""
    matrices = {k: m.astype(complex_dtype(dtype)) for k, m in circuit.matrices.items()}
    return Leaves(
        circuit.parameters.astype(dtype), matrices, circuit.channels, circuit.couplings.astype(dtype), uniforms
    )


def through(segment: Segment, V, data, adjoint):
    fixed = jax.tree.map(jnp.asarray, segment.fixed)
    V = vary_like(V, data)
    if not data:  # only permutations: linear, with nothing to differentiate
        return jax.lax.scan(lambda V, _: (_do(segment, V, {}, {}), None), V, None, segment.count)[0]
    if not isinstance(adjoint, Uncompute):
        return scan(lambda V, x: (_do(segment, V, *x), None), V, (data, fixed), adjoint=adjoint)[0]
    every = adjoint.checkpoint_every or segment.count
    whole = segment.count // every * every
    if whole > every:
        blocks = jax.tree.map(lambda a: a[:whole].reshape(-1, every, *a.shape[1:]), (data, fixed))
        V, _ = jax.lax.scan(lambda V, x: (_evolve(segment, V, *x), None), V, blocks)
        data, fixed = jax.tree.map(lambda a: a[whole:], (data, fixed))
        if whole == segment.count:
            return V
    return _evolve(segment, V, data, fixed)


@partial(jax.custom_jvp, nondiff_argnums=(0,))
def _evolve(segment, V, data, fixed):
    def pure(states, data, _, fixed):
        return _scan(lambda V, x: (_do(segment, V, *x), None), states[0], (data, fixed))[0]

    return _run(native.FORWARD, segment, pure, (V,), data, {}, fixed)


@_evolve.defjvp
def _evolve_jvp(segment, primals, tangents):
    def parts(V, data, dV, ddata, fixed):
        end = _evolve(segment, V, data, fixed)
        programs = partial(_tangent, segment), partial(_adjoint, segment)
        return end, linear_map(*programs, (V, end, data, fixed), (dV, ddata), joint=True)

    return fused(partial(_with_tangent, segment), parts, *primals[:2], *tangents[:2], primals[2])


def _tangent(segment, residuals, tangents):
    V, _, data, fixed = residuals
    dV, ddata = tangents
    return _with_tangent(segment, V, data, dV, ddata, fixed)[1]


def _with_tangent(segment, V, data, dV, ddata, fixed):
    def pure(states, data, ddata, fixed):
        undoing = _undoing(segment, data)
        K = {key: _generator(key, undoing[key], ddata[key]) for key in data}

        def step(state, x, _):
            return _do_tangent(segment, state, *x), None

        def inverse(state, x, _):
            return _undo_tangent(segment, state, *x)

        return _reversible(step, inverse, states, (data, K, fixed))[0]

    return _run(native.TANGENT, segment, pure, (V, dV), data, ddata, fixed)


def _adjoint(segment, residuals, cotangent):
    _, end, data, fixed = residuals
    return _adjoint_of(segment, (end, cotangent), data, fixed)


@partial(jax.custom_jvp, nondiff_argnums=(0,))
def _adjoint_of(segment, states, data, fixed):
    def pure(states, data, _, fixed):
        return _pure_adjoint(segment, states, data, fixed)

    return _run(native.ADJOINT, segment, pure, states, data, {}, fixed)


@_adjoint_of.defjvp
def _adjoint_of_jvp(segment, primals, tangents):
    states, data, fixed = primals
    if not native.is_native(segment):
        return jax.jvp(lambda s, d: _pure_adjoint(segment, s, d, fixed), (states, data), tangents[:2])

    def push(residuals, x):
        states, data, fixed = residuals
        dstates, ddata = x
        return _adjoint_with_tangent(segment, states, data, dstates, ddata, fixed)[1]

    def pull(residuals, cotangent):
        states, data, fixed = residuals
        return jax.vjp(lambda s, d: _pure_adjoint(segment, s, d, fixed), states, data)[1](cotangent)

    def parts(states, data, dstates, ddata, fixed):
        # Unchecked: the two differ where matrices would leave the unitary ones, to where tangents do not lead.
        tangent = linear_map(push, pull, (states, data, fixed), (dstates, ddata), check=False)
        return _adjoint_of(segment, states, data, fixed), tangent

    return fused(partial(_adjoint_with_tangent, segment), parts, states, data, *tangents[:2], fixed)


def _adjoint_with_tangent(segment, states, data, dstates, ddata, fixed):
    def pure(states, data, ddata, fixed):
        V, dV, W, dW = states

        def adjoint(states, data):
            return _pure_adjoint(segment, states, data, fixed)

        return jax.jvp(adjoint, ((V, W), data), ((dV, dW), ddata))

    (V, W), (dV, dW) = states, dstates
    return _run(native.ADJOINT_TANGENT, segment, pure, (V, dV, W, dW), data, ddata, fixed)


def _run(mode, segment, pure, *operands):
    """A program; its derivatives, where no rule is left as in transposed bodies of loops, are those of `pure`."""
    return fused(partial(native.run, mode, segment, pure), pure, *operands)


def _pure_adjoint(segment, states, data, fixed):
    def step(state, x, _):
        return _pull(segment, state, *x)

    def inverse(state, x, _):
        return _unpull(segment, state, *x)

    flipped = jax.tree.map(lambda a: a[::-1], (data, fixed))
    (_, W), K = _reversible(step, inverse, states, flipped)
    undoing = _undoing(segment, data)
    return W, {key: _cogenerator(key, undoing[key], K[key][::-1]) for key in data}


def _generator(key, u, du):
    """K = u⁻¹ du, for u as `_undoing` gives it; times and couplings stand for themselves."""
    return du if key.sort == Sort.EVOLUTION else multiply(dagger(u), du)


def _cogenerator(key, u, K):
    return K if key.sort == Sort.EVOLUTION else multiply(u, K)


def _undoing(segment, u):
    """The matrices whose adjoints undo the state: themselves, but for derivatives of those that are free."""
    return {key: _inverse_adjoint(a) if key in segment.free else a for key, a in u.items()}


@jax.custom_jvp
def _inverse_adjoint(u):
    """(u⁻¹)† of unitary matrices."""
    return u


@_inverse_adjoint.defjvp
def _inverse_adjoint_jvp(primals, tangents):
    u = _inverse_adjoint(*primals)
    return u, -multiply(u, multiply(dagger(tangents[0]), u))


# One repetition of a segment. They are traced once each, though the programs of all derivatives are built from them.

_once = partial(jax.jit, static_argnums=0)


@_once
def _do(segment, V, u, fixed):
    for kernel, source in zip(segment.kernels, segment.sources):
        V = kernel.apply(V, source.of(u, fixed))
    return V


@_once
def _undo(segment, V, u, fixed):
    for kernel, source in reversed([*zip(segment.kernels, segment.sources)]):
        V = kernel.inverse(V, source.of(u, fixed))
    return V


@_once
def _do_tangent(segment, state, u, K, fixed):
    for kernel, source in zip(segment.kernels, segment.sources):
        state = kernel.tangent(*state, source.of(u, fixed), source.of(K, fixed))
    return state


@_once
def _undo_tangent(segment, state, u, K, fixed):
    u = _undoing(segment, u)
    for kernel, source in reversed([*zip(segment.kernels, segment.sources)]):
        state = kernel.untangent(*state, source.of(u, fixed), source.of(K, fixed))
    return state


@_once
def _pull(segment, state, u, fixed):
    found: dict[Key, list] = {key: [] for key in u}
    V, W = state
    undoing = _undoing(segment, u)
    for kernel, source in reversed([*zip(segment.kernels, segment.sources)]):
        own = source.of(u, fixed)
        if own is not None and segment.free and (source.key is None or source.key in segment.free):
            V = kernel.inverse(V, source.of(undoing, fixed))
            W = kernel.inverse(W, own)
            K = kernel.transitions(V, W, own)
        else:
            V, W, K = kernel.pull(V, W, own)
        if source.key is None:
            return (V, W), {key: K[key] for key in u}
        if source.stop > source.start:
            found[source.key].insert(0, K)
    return (V, W), {key: jnp.concatenate(parts) for key, parts in found.items()}


def _unpull(segment, state, u, fixed):
    """The states after the repetition from those before it."""
    if segment.free:
        return _do(segment, state[0], u, fixed), _do(segment, state[1], _undoing(segment, u), fixed)
    return tuple(jnp.split(_do(segment, jnp.concatenate(state, 1), u, fixed), 2, 1))


def _scan(step, state, xs):
    if len(jax.tree.leaves(xs)[0]) > 1:
        return jax.lax.scan(step, state, xs)
    state, y = step(state, jax.tree.map(lambda a: a[0], xs))
    return state, jax.tree.map(lambda a: a[None], y)


def _reversible(step, inverse, state, xs):
    if len(jax.tree.leaves(xs)[0]) > 1:
        return reversible_scan(step, inverse, state, xs, unroll=1)
    return _scan(lambda state, x: step(state, x, None), state, xs)

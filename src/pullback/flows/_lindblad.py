r"""`lindblad`: open quantum systems by their density matrix; `trajectories`: by random states.

    dρ/dt = −i (K ρ − ρ K†) + Σ_j L_j ρ L_j†,        K = H − (i/2) Σ_j L_j† L_j.

A contraction is not undone; reverse mode stores states. A small system that is constant, maybe but for jumps of its
drives, is solved by exponentials of the n² × n² matrix of the right-hand side, any other by `odeint`.

A trajectory is a state that evolves by exp(−iKh), and jumps, ψ → L_j ψ, with the probability that the norm has lost,
half-way through a step. Which jumps happen is drawn; it cannot be differentiated, and the derivative of the states
alone would miss how probable they are. With the probability P of the whole record, E[A] = Σ P ⟨ψ|A|ψ⟩ has the
derivative

    Σ P (d⟨ψ|A|ψ⟩ + ⟨ψ|A|ψ⟩ d log P),

so the states are multiplied by (P / P_fixed)^{1/2}: a factor that is one, and has these derivatives, in every order.

Sources: J. Dalibard, Y. Castin, K. Mølmer, Phys. Rev. Lett. 68, 580 (1992); J. Foerster et al., arXiv:1802.05098.
"""

from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jaxtyping import Array, Complex, PRNGKeyArray, PyTree

from pullback.core import (
    RESULTS,
    Adjoint,
    Checkpoint,
    InputError,
    Solution,
    by_throw,
    error_if,
    only_arrays,
    vary_like,
    whole_number,
)
from pullback.flows._hamiltonian import Family, family
from pullback.flows._odeint import odeint
from pullback.flows._spectrum import facts_of, hermitian
from pullback.flows._times import Numbers, monotonic, state_and_times
from pullback.linalg import expm
from pullback.loops import scan

_SMALL = 8  # states, up to which a constant system is solved by exponentials
_PROBABLE = 0.1  # chance of a jump in one step


@by_throw
def lindblad(
    H: Any,
    jumps: Sequence[Any],
    rho0: Numbers,
    ts: Numbers,
    params: PyTree = None,
    *,
    rtol: float = 1e-8,
    atol: float = 1e-10,
    adjoint: Adjoint | None = None,
    max_steps: int = 2**14,
    throw: bool = True,
) -> Complex[Array, "times n n"] | Solution[Complex[Array, "times n n"]]:
    """ρ at the times `ts` of dρ/dt = −i[H, ρ] + Σ_j (L_j ρ L_j† − {L_j† L_j, ρ}/2), ρ(ts[0]) = rho0.

    Differentiable in every mode and order with respect to rho0, ts, params and what H and the L_j close over.

    Args:
        H: Hermitian matrix, a function of (t, params) that returns one, or a list with drives, as in `propagate`.
        jumps: the L_j, with the roots of their rates: matrices, or functions of (t, params) that return one.
        rho0: Hermitian matrix, or a state as a vector.
        ts: times, increasing.
        params: any pytree.
        rtol: relative tolerance of the local error.
        atol: absolute tolerance of the local error.
        adjoint: what reverse mode stores, as in `odeint`.
        max_steps: bound on the steps of `odeint`; between two jumps of drives, if there are any.
        throw: if False, return a `Solution`.

    Returns:
        The density matrices, along an axis of length len(ts) in front. Or, if not `throw`, a `Solution` of these:
        `residual` is the largest local error relative to the tolerance (0 for exponentials), `stats["trace_drift"]` the
        largest change of the trace, `stats["negative"]` the most negative eigenvalue, zero if there is none: neither
        is forced to vanish by `odeint`.

    Raises:
        ConvergenceError: as `odeint`.
        InputError: H or rho0 are not Hermitian; the shapes do not fit; ts do not increase or are not finite.

    Examples:
        Spontaneous emission.

        >>> lower = jnp.array([[0.0, 1.0], [0.0, 0.0]])
        >>> def excited(rate):
        ...     rhos = lindblad(jnp.zeros((2, 2)), [jnp.sqrt(rate) * lower], [0.0, 1.0], [0.0, 2.0])
        ...     return rhos[-1, 1, 1].real
        >>> f"{excited(0.5):.6f} {jax.grad(excited)(0.5):.6f}"  # e^{-1}, -2 e^{-1}
        '0.367879 -0.735759'
    """
    rho0, ts = _start("lindblad", rho0, ts)
    rho0 = jnp.outer(rho0, rho0.conj()) if rho0.ndim == 1 else rho0
    H_of, rates_of, constant, rho0 = _system("lindblad", H, jumps, rho0, ts, params)
    for name, value in {"rtol": rtol, "atol": atol}.items():
        if not value > 0:
            raise InputError(f"lindblad: {name} must be positive, got {value}.")
    at = [a.astype(ts.dtype) for a in H_of.jumps]
    edges = jnp.sort(jnp.concatenate([ts, *(jnp.clip(a, ts[0], ts[-1]) for a in at)])) if at else ts
    rows = jnp.searchsorted(edges, jax.lax.stop_gradient(ts), side="right") - 1 if at else None

    def slope(t, rho, piece=None):
        h, ls = _matrices(H_of, rates_of, t, params, rho0, piece)
        k = -1j * h - _square(ls) / 2
        return k @ rho + rho @ k.conj().T + jnp.einsum("jab,bc,jdc->ad", ls, rho, ls.conj())

    rhos: Any
    options: dict[str, Any] = {"rtol": rtol, "atol": atol, "adjoint": adjoint, "max_steps": max_steps}
    residual, steps, result = jnp.zeros((), ts.dtype), jnp.asarray(len(edges) - 1), RESULTS.successful
    if constant and len(rho0) <= _SMALL:

        def exponential(rho, ends):
            a, b = ends
            moved = (a + b) / 2
            columns = jax.vmap(lambda e: slope(moved, e).ravel())(
                jnp.eye(rho.size, dtype=rho.dtype).reshape(-1, *rho.shape)
            )
            rho = (expm((b - a).astype(rho.dtype) * columns.T) @ rho.ravel()).reshape(rho.shape)
            return rho, rho

        _, rhos = scan(exponential, rho0, (edges[:-1], edges[1:]))
        rhos = jnp.concatenate([rho0[None], rhos])
    elif not at:
        found: Any = odeint(lambda t, rho, _: slope(t, rho), rho0, ts, throw=False, **options)
        rhos, result, residual, steps = found.value, found.result, found.residual, found.steps
    else:

        def piece(rho, ends):
            a, b = ends
            field = lambda s, rho, _: (b - a).astype(rho.dtype) * slope(a + s * (b - a), rho, (a + b) / 2)  # noqa: E731
            found: Any = odeint(field, rho, jnp.array([0.0, 1.0], ts.dtype), throw=False, **options)
            how = found.residual, found.steps, found.converged
            return found.value[-1], (found.value[-1], jax.lax.stop_gradient(how))

        _, (rhos, (residuals, counts, done)) = scan(piece, rho0, (edges[:-1], edges[1:]))
        rhos = jnp.concatenate([rho0[None], rhos])
        residual, steps = jnp.max(residuals), jnp.sum(counts)
        result = RESULTS.where(jnp.all(done), RESULTS.successful, RESULTS.max_steps_reached)
    rhos = rhos if rows is None else rhos[rows]
    fixed = jax.lax.stop_gradient(rhos)
    result = RESULTS.where(jnp.isfinite(fixed).all(), result, RESULTS.nonfinite)
    stats = {}
    if not throw:
        traces = jnp.trace(fixed, axis1=1, axis2=2)
        stats["trace_drift"] = jnp.max(jnp.abs(traces - traces[0]))
        finite = jnp.where(jnp.isfinite(fixed), fixed, 0)
        stats["negative"] = jnp.minimum(jnp.min(jnp.linalg.eigvalsh(finite)), 0)
    solution = Solution(rhos, result, residual, steps, stats)
    return solution.unwrap("lindblad") if throw else solution


def trajectories(
    H: Any,
    jumps: Sequence[Any],
    psi0: Numbers,
    ts: Numbers,
    key: PRNGKeyArray,
    params: PyTree = None,
    *,
    n: int,
    steps: int,
    adjoint: Adjoint = Checkpoint(),  # noqa: B008
) -> Complex[Array, "n times states"]:
    """n random states at the times `ts`, whose mean |ψ⟩⟨ψ| is the ρ of `lindblad` up to an error of order h γ.

    The mean over trajectories of ⟨ψ|A|ψ⟩ has the right derivatives, in every mode and order: those of the states and
    those of the probabilities of the jumps. For these the derivative of a single state is not that of a state of norm
    one; use states in means of ψ ψ† only. The jumps that are drawn depend on the key, and change with the parameters
    now and then: differences of values at one key are not the derivative.

    Args:
        H: as in `lindblad`.
        jumps: as in `lindblad`.
        psi0: state, a vector of norm one.
        ts: times, increasing.
        key: of `jax.random`.
        params: any pytree.
        n: number of trajectories.
        steps: number of steps between two times. The chance of a jump in one of them must be small.
        adjoint: what reverse mode stores of the steps, as in `loops.scan`.

    Raises:
        InputError: as `lindblad`; n or steps are not positive; the chance of a jump in a step is above 0.1 in some
            trajectory (`EquinoxRuntimeError` in compiled programs).

    Examples:
        >>> from pullback.core import Estimate
        >>> lower = jnp.array([[0.0, 1.0], [0.0, 0.0]])
        >>> psi = trajectories(jnp.zeros((2, 2)), [lower], [0.0, 1.0], [0.0, 1.0], jax.random.key(0), n=500, steps=50)
        >>> excited = Estimate.of(jnp.abs(psi[:, -1, 1]) ** 2)
        >>> bool(abs(excited.value - jnp.exp(-1.0)) < 3 * excited.error)
        True
    """
    psi0, ts = _start("trajectories", psi0, ts)
    n, steps = (whole_number("trajectories", name, x) for name, x in (("n", n), ("steps", steps)))
    if n < 1 or steps < 1:
        raise InputError(f"trajectories: n and steps must be positive, got {n} and {steps}.")
    if psi0.ndim != 1:
        raise InputError(f"trajectories: psi0 must be a vector, got the shape {psi0.shape}.")
    if not jumps:
        raise InputError("trajectories: without jumps the flow is unitary, take propagate.")
    H_of, rates_of, _, psi0 = _system("trajectories", H, jumps, psi0, ts, params)
    if H_of.jumps:
        raise InputError("trajectories: give drives that jump as functions of (t, params), and times ts at the jumps.")

    def step(state, given):
        psi, log_p, likely = state
        t, h, key = given
        a, ls = _matrices(H_of, rates_of, t + h / 2, params, psi0)
        half = expm(h.astype(psi.dtype) / 2 * (-1j * a - _square(ls) / 2))
        middle = psi @ half.T
        stays = middle @ half.T
        p_stay = _norm2(stays)
        jumped = jnp.einsum("jab,nb->nja", ls, middle)
        weights = _norm2(jumped)
        uniform, gumbel = jax.random.split(key)
        leaves = jax.random.uniform(uniform, (n,), ts.dtype) > p_stay
        fixed = jax.lax.stop_gradient(weights)
        logits = jnp.log(jnp.where(fixed > 0, fixed, 1)) + jnp.where(fixed > 0, 0, -jnp.inf)
        which = jnp.argmax(logits + jax.random.gumbel(gumbel, weights.shape, ts.dtype), axis=1)
        leaves &= jnp.any(fixed > 0, axis=1)
        rows = jnp.arange(n)
        chosen = jnp.where(leaves, weights[rows, which], 1) / jnp.where(leaves, jnp.sum(weights, axis=1), 1)
        p = jnp.where(leaves, jnp.where(leaves, 1 - p_stay, 1) * chosen, p_stay)
        psi = jnp.where(leaves[:, None], jumped[rows, which] @ half.T, stays)
        psi = psi / jnp.sqrt(_norm2(psi))[:, None].astype(psi.dtype)
        likely = jnp.maximum(likely, jax.lax.stop_gradient(jnp.max(1 - p_stay)))
        return (psi, log_p + jnp.log(p), likely), None

    def interval(state, given):
        a, b, key = given
        h = (b - a) / steps
        keys = jax.random.split(key, steps)
        times = a + h * jnp.arange(steps, dtype=ts.dtype)
        state, _ = scan(step, state, (times, jnp.broadcast_to(h, steps), keys), adjoint=adjoint)
        return state, state[:2]

    begin = jnp.broadcast_to(psi0, (n, *psi0.shape)), jnp.zeros(n, ts.dtype), jnp.zeros((), ts.dtype)
    begin = vary_like(begin, ts, key, jax.eval_shape(lambda t: _matrices(H_of, rates_of, t, params, psi0), ts[0]))
    keys = jax.random.split(key, len(ts) - 1)
    (_, _, likely), (psis, logs) = jax.lax.scan(interval, begin, (ts[:-1], ts[1:], keys))
    psis = psis * jnp.exp((logs - jax.lax.stop_gradient(logs)) / 2)[..., None].astype(psis.dtype)
    text = "trajectories: the chance of a jump in one step is above 0.1; raise steps"
    if not isinstance(likely, Tracer):
        if likely > _PROBABLE:
            raise InputError(f"{text} (now {steps}): it is {float(likely):.2f}.")
    else:
        psis = error_if(psis, likely > _PROBABLE, f"{text}.")
    return jnp.concatenate([begin[0][:, None], jnp.swapaxes(psis, 0, 1)], axis=1)


def _start(name: str, state: Any, ts: Any) -> tuple[Array, Array]:
    state, ts = state_and_times(name, "the state", state, ts, forward=True)
    if state.ndim not in (1, 2) or (state.ndim == 2 and state.shape[0] != state.shape[1]):
        raise InputError(f"{name}: the state must be a vector, or a square matrix, got the shape {state.shape}.")
    if not isinstance(state, Tracer) and state.ndim == 2:
        values = np.asarray(state)
        if np.abs(values - values.conj().T).max() > 1e-6 * np.abs(values).max():
            raise InputError(f"{name}: rho0 is not Hermitian.")
    return monotonic(name, state, ts, forward=True), ts


def _system(
    name: str, H: Any, jumps: Sequence[Any], state: Array, ts: Array, params: PyTree
) -> tuple[Family, list[Callable], bool, Array]:
    """(H, jumps as functions of (t, params), whether nothing but drives that jump depends on time, the state)."""
    only_arrays(name, "params", params)
    column = state if state.ndim == 1 else state[:, 0]
    found = family(H, column, ts[0], params)
    if not found.dense:
        raise InputError(f"{name}: H must be a matrix, here and at all times; write a model as model.matrix().")
    if callable(jumps) or not isinstance(jumps, list | tuple):
        raise InputError(f"{name}: jumps must be a list of matrices, or of functions of (t, params).")
    at = jnp.concatenate([jnp.zeros(0, ts.dtype), *(a.astype(ts.dtype) for a in found.jumps)])
    state = hermitian(state, facts_of(found, column, ts, at, params, None))
    functions = [f if callable(f) else (lambda t, p, f=f: f) for f in jumps]
    for f in functions:
        shape = jax.eval_shape(lambda t, f=f: jnp.asarray(f(t, params)), ts[0]).shape
        if shape != (len(column), len(column)):
            raise InputError(f"{name}: a jump of shape {shape} does not fit states of {len(column)} entries.")
    return found, functions, found.constant and not any(map(callable, jumps)), state


def _matrices(
    H: Family, jumps: list[Callable], t: Array, params: PyTree, like: Array, piece=None
) -> tuple[Array, Array]:
    """H and the stacked L_j at a time."""
    n, dtype = like.shape[0], like.dtype
    h = H.combine((1.0,), (t,), params, piece)
    ls = [jnp.asarray(f(t, params)).astype(dtype) for f in jumps]
    return jnp.asarray(h).astype(dtype), jnp.stack(ls) if ls else jnp.zeros((0, n, n), dtype)


def _square(ls: Array) -> Array:
    """Σ L† L."""
    return jnp.einsum("jba,jbc->ac", ls.conj(), ls)


def _norm2(psi: Array) -> Array:
    return jnp.sum(psi.real**2 + psi.imag**2, axis=-1)

r"""Ground states and low levels, differentiable in the model; how fast a ground state turns.

Small spaces are diagonalised as dense matrices, larger ones by `krylov.eigsh`, which needs ten vectors or so.

**Fidelity susceptibility.** For a family of models H(g), with Q = 1 − |ψ><ψ|,

    χ_ab = Re <∂_a ψ|Q|∂_b ψ>,        |<ψ(g)|ψ(g + dg)>| = 1 − ½ Σ_ab χ_ab dg_a dg_b + …

the real part of the quantum geometric tensor. Each Q|∂_a ψ> is one derivative in forward mode (one linear equation), so
nothing is subtracted that cancels, and χ ≥ 0 by construction.

Sources: P. Zanardi, N. Paunković, Phys. Rev. E 74, 031123 (2006); H. Xie, J.-G. Liu, L. Wang, Phys. Rev. B 101,
245139 (2020), arXiv:2001.04121.
"""

from collections.abc import Callable

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, ArrayLike, Float, Inexact

from pullback.core import RESULTS, Adjoint, Implicit, InputError, Solution, by_throw
from pullback.krylov import Davidson, Dense, Lanczos, eigsh
from pullback.lattices._model import Model
from pullback.lattices._operator_model import as_model
from pullback.lattices._sector import Sector
from pullback.lattices._sector_model import SectorModel
from pullback.linalg import eigh
from pullback.operators import OperatorSum

Solver = Lanczos | Davidson | Dense
_DENSE = 200  # states of a space that is diagonalised as a matrix


class GroundState(eqx.Module):
    """The lowest levels of a model and their states.

    Attributes:
        energy: the ground energy; for k > 1 the k lowest levels.
        state: the ground state, normalised; for k > 1 one column for each level. In the sector's basis, if there is
            one.
        operator: what was diagonalised: the model, or its part in the sector.
    """

    energy: Float[Array, "*k"]
    state: Inexact[Array, "states *k"]
    operator: Model | SectorModel

    @property
    def full_state(self) -> Inexact[Array, "all *k"]:
        """The state in the basis of the whole space."""
        if isinstance(self.operator, Model):
            return self.state
        if self.state.ndim == 1:
            return self.operator.expand(self.state)
        return jnp.stack([self.operator.expand(column) for column in self.state.T], axis=1)


@by_throw
def ground_state(
    model: Model | OperatorSum,
    k: int = 1,
    sector: Sector | None = None,
    *,
    solver: Solver | None = None,
    tol: float = 1e-11,
    adjoint: Adjoint = Implicit(),  # noqa: B008
    max_steps: int = 3000,
    throw: bool = True,
) -> GroundState | Solution[GroundState]:
    """The ground state of a model, or its k lowest levels; in the whole space or in a symmetry sector.

    Differentiable in every mode and order with respect to the model. States have any sign or phase: ask for functions
    that do not depend on it, and for k > 1 for functions that do not depend on the basis of a degenerate level.

    A level that coincides with the one above the k wanted ones, to the accuracy of the calculation, has no single
    state: that is an error. Near g = 0.5 the Ising ring of 20 sites has two lowest levels 2·10⁻⁷ apart; in the sector
    `spin_inversion=1` there is only one.

    Args:
        model: spins or fermions: a model of this room, or a sum of words of `operators`.
        k: number of levels.
        sector: quantum numbers.
        solver: `krylov.Dense()` (default up to 200 states), or another one of `krylov.eigsh`, which chooses above.
            `krylov.Lanczos(copies=False)` takes two thirds of the time of the default, and may not see a second state
            of the same energy.
        tol: residual of the eigenvectors relative to the largest level, for large spaces; as of `krylov.eigsh`.
        adjoint: as of `krylov.eigsh`, for large spaces.
        max_steps: as of `krylov.eigsh`, for large spaces.
        throw: raise if they have not converged or are not separated; if False, return a `Solution`.

    Returns:
        A `GroundState`; or, if not `throw`, a `Solution` of it: `residual` is |H ψ − E ψ|, and in `stats` are the `gap`
        to the next level and the `gradient_error` of the states, residual / gap.

    Raises:
        InputError: k is larger than the number of states; the sector is not conserved, or empty; the operator is not
            Hermitian.
        ConvergenceError: the levels have not converged, or the k-th coincides with the next one
            (`EquinoxRuntimeError` in compiled programs).

    Examples:
        >>> import jax
        >>> from pullback.lattices import Sector
        >>> from pullback.operators import transverse_ising
        >>> symmetric = Sector(momentum=0, parity=1, spin_inversion=1)
        >>> def energy(g):
        ...     return ground_state(transverse_ising(10, g), sector=symmetric).energy
        >>> print(f"{jax.grad(energy)(1.0):.9f}")
        -6.392453221
    """
    model = as_model(model, sector)
    operator = model if sector is None else model.in_sector(sector)
    if not 1 <= k <= operator.dimension:
        raise InputError(f"ground_state: k={k}, but the space has {operator.dimension} states")
    small = operator.dimension <= _DENSE or k >= operator.dimension - 1
    if isinstance(solver, Dense) or (solver is None and small):
        solution = _dense(operator, k)
    else:
        apply = operator.operator() if isinstance(operator, Model) else operator.apply
        shape = jax.ShapeDtypeStruct((operator.dimension,), operator.dtype)
        options = {"solver": solver, "tol": tol, "adjoint": adjoint, "max_steps": max_steps}
        solution = eigsh(apply, k, shape=shape, which="SA", **options, throw=False)
    w, v = solution.unwrap("ground_state") if throw else solution.value
    ground = GroundState(w[0], v[:, 0], operator) if k == 1 else GroundState(w, v, operator)
    if throw:
        return ground
    return Solution(ground, solution.result, solution.residual, solution.steps, solution.stats)


def fidelity_susceptibility(
    family: Callable[[Float[Array, "*p"]], Model | OperatorSum],
    g: Float[ArrayLike, "*p"],
    sector: Sector | None = None,
    *,
    tol: float = 1e-11,
) -> Float[Array, "*pp"]:
    """How fast the ground state turns with the parameters of a family of models; see above for the formula.

    Differentiable itself.

    Args:
        family: parameters -> model.
        g: one parameter, or p of them.
        sector: quantum numbers of the ground state.
        tol: as in `ground_state`.

    Returns:
        A number, or a p × p matrix.

    Raises:
        InputError: g is neither a number nor a vector; as `ground_state`.
        ConvergenceError: as `ground_state`.

    Examples:
        At the critical point of the Ising ring it is L (L − 1) / 32.

        >>> from pullback.lattices import Sector
        >>> from pullback.operators import transverse_ising
        >>> sector = Sector(momentum=0, parity=1, spin_inversion=1)
        >>> chi = fidelity_susceptibility(lambda g: transverse_ising(10, g), 1.0, sector)
        >>> print(f"{chi:.9f}")
        2.812500000
    """
    g = jnp.asarray(g, jnp.result_type(g, jnp.float32 if jnp.result_type(g) == jnp.float32 else float))
    if g.ndim > 1:
        raise InputError(f"fidelity_susceptibility: g is a number or a vector, got the shape {g.shape}")

    def state(g: Array) -> Array:
        return ground_state(family(g), sector=sector, tol=tol).state

    if g.ndim == 0:
        psi, turned = jax.jvp(state, (g,), (jnp.ones_like(g),))
        turned = turned[None]
    else:
        psi, linear = jax.linearize(state, g)
        turned = jax.vmap(linear)(jnp.eye(g.size, dtype=g.dtype))
    across = turned - (turned @ psi.conj())[:, None] * psi[None, :]
    metric = (across.conj() @ across.T).real
    return metric[0, 0] if g.ndim == 0 else metric


def _dense(operator: Model | SectorModel, k: int) -> Solution[tuple[Array, Array]]:
    matrix = operator.matrix()
    finite = jnp.isfinite(jax.lax.stop_gradient(matrix)).all()
    matrix = jnp.where(finite, matrix, 0)  # the result tells
    w, v = eigh(matrix)
    fixed, levels, states = jax.lax.stop_gradient((matrix, w, v))
    eps, size = jnp.finfo(w.dtype).eps, jnp.abs(levels).max()
    residuals = fixed @ states[:, :k] - states[:, :k] * levels[None, :k].astype(states.dtype)
    residual = jnp.linalg.norm(residuals, axis=0).max()
    gap = levels[k] - levels[k - 1] if k < operator.dimension else jnp.asarray(jnp.inf, w.dtype)
    result = RESULTS.where(residual <= 10 * eps * len(w) * size, RESULTS.successful, RESULTS.stalled)
    # `eigh` takes closer levels for one, and leaves out what they do to each other.
    apart = (gap > jnp.sqrt(eps) * size) & (gap > 0)
    result = RESULTS.where(apart, result, RESULTS.not_separated)
    result = RESULTS.where(finite, result, RESULTS.nonfinite)
    error = jnp.where(gap > 0, residual / jnp.where(gap > 0, gap, 1), jnp.inf)
    return Solution((w[:k], v[:, :k]), result, residual, len(w), {"gap": gap, "gradient_error": error})

r"""An invariant subspace as a differentiable function of its operator: the one rule of `eigsh` and of `eigs`.

The k wanted eigenvectors span an invariant subspace. With a basis V (columns), and S = 1 or the metric of H x = λ S x,

    H V = S V Λ,        V† S V = 1,

Λ is kept as a *matrix*: then the derivative exists where eigenvalues among the k coincide, at every order, as long as
Λ shares none with the rest of H. With M = V† dS V and the projector Q = 1 − V V† S it is

    dV = −½ V M + Y,     Q† (H Y − S Y Λ) = −Q† (dH V − dS V Λ),     V† S Y = 0,
    dΛ = V† (dH V + H Y)  for S = 1,      dΛ = V† dH V − ½ (M Λ + Λ M)  for Hermitian H, where V† H Y = 0.

V turns as little as it can (V† S dV is Hermitian), so that V, and Λ with it, depend on the way to the parameters by a
change of basis inside the subspace: what follows is made from both such that it cancels. The equation for Y is stated
to JAX as such, which differentiates it to every order. It is Hermitian, and positive for levels at the end of the
spectrum (conjugate gradients), for levels inside it not (MINRES); for a general operator GMRES solves it, and its
transpose. How the subspace was found plays no part, and none of the Krylov vectors is kept.

Sources: H. Xie, J.-G. Liu, L. Wang, arXiv:2001.04121 (one dominant state); the rest follows from the equations above.
"""

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax.custom_derivatives import SymbolicZero
from jaxtyping import Array, Inexact, PyTree

from pullback.core import Implicit, InputError, error_if, jvp_of_live
from pullback.core._compile_cache import compiled_once
from pullback.krylov._linear import conjugate_gradients, gmres, minres
from pullback.krylov._pencil import Apply, Eigensolver, Pencil


class Wanted(NamedTuple):
    """What does not depend on arrays, and tells one compiled search from another: see `Pencil`.

    Attributes:
        solver: without functions.
        hermitian: whether the operator is.
        adjoint: tolerance and bound of the steps of the equation for Y.
    """

    solver: Eigensolver
    which: str | float
    k: int
    tol: float
    max_steps: int
    of_sector: bool
    hermitian: bool
    adjoint: tuple[float, int]


class Problem(NamedTuple):
    """Hoisted functions (consts, x) -> …, by name, and what is wanted. The constants are the differentiable part."""

    name: str
    closed: dict[str, Callable[[list, Array], Array]]
    wanted: Wanted

    @property
    def sign(self) -> float:
        """Of the operator of which the lowest levels are wanted."""
        return -1.0 if self.wanted.which == "LA" else 1.0

    def apply(self, consts: dict[str, list], x: Array) -> Array:
        return self.closed["operator"](consts["operator"], x)

    def metric(self, consts: dict[str, list], x: Array) -> Array:
        return self.closed["metric"](consts["metric"], x) if "metric" in self.closed else x

    def precond(self, consts: dict[str, list]) -> Apply | None:
        if "precond" not in self.closed:
            return None
        return lambda x: self.closed["precond"](consts["precond"], x)

    def pencil(self, consts: dict[str, list]) -> Pencil:
        """With the constants in place."""
        w, sign = self.wanted, self.sign
        return Pencil(
            (lambda x: sign * self.apply(consts, x)) if sign < 0 else partial(self.apply, consts),
            partial(self.metric, consts) if "metric" in self.closed else None,
            self.precond(consts),
            consts["shift"][0] if "shift" in consts else None,
            w.which,
            w.k,
            w.tol,
            w.max_steps,
            w.of_sector,
        )


def adjoint_options(name: str, adjoint: Any, tol: float, max_steps: int) -> tuple[float, int]:
    """(tolerance, bound of the steps) of the equation for Y; those given are for what the adjoint leaves open.

    Raises:
        InputError: the adjoint is not `Implicit`, or brings a linear solver.
    """
    if not isinstance(adjoint, Implicit) or adjoint.linear_solver is not None:
        raise InputError(
            f"{name}: adjoint={adjoint!r}; it is Implicit(tol=…, max_steps=…): the derivative solves an equation, by a "
            "method that fits the operator."
        )
    return tol if adjoint.tol is None else adjoint.tol, adjoint.max_steps or max_steps


def invariant(
    problem: Problem, consts: dict[str, list], v: Inexact[Array, " n"]
) -> tuple[Inexact[Array, "k k"], Inexact[Array, "k n"], PyTree[Array]]:
    """(Λ, Vᵀ, how they were found): Λ is a matrix, the vectors are rows; the last without derivatives."""
    small, vectors, found = _invariant(problem, consts, v)
    return small, vectors, jax.lax.stop_gradient(found)


def searched(problem: Problem, consts: dict[str, list], v: Array) -> tuple[Array, Array, PyTree]:
    """The search; outside `jit` one program for all operators that do the same."""
    parts = [(function, (consts[name], v)) for name, function in sorted(problem.closed.items())]

    def search(consts, v):
        small, vectors, found = problem.wanted.solver.search(problem.pencil(consts), v)
        return problem.sign * small, vectors, found

    return compiled_once(search, (problem.name, problem.wanted, tuple(sorted(problem.closed))), parts, consts, v)


_invariant = jax.custom_jvp(searched, nondiff_argnums=(0,))


@partial(_invariant.defjvp, symbolic_zeros=True)
def _(problem: Problem, primals, tangents):
    (consts, v), (dconsts, _) = primals, tangents
    small, vectors, found = _invariant(problem, consts, v)

    def products(consts):
        return (
            jax.vmap(partial(problem.apply, consts))(vectors),
            jax.vmap(partial(problem.metric, consts))(vectors),
        )

    (_, weighted), (dh, ds) = jvp_of_live(products, (consts,), (dconsts,))
    overlap = vectors.conj() @ ds.T if "metric" in problem.closed else None  # M
    y = _complement(problem, consts, small, vectors, weighted, -dh if overlap is None else small.T @ ds - dh)
    if problem.wanted.hermitian:
        dsmall = vectors.conj() @ dh.T
        dsmall = dsmall if overlap is None else dsmall - (overlap @ small + small @ overlap) / 2
        dsmall = (dsmall + dsmall.conj().T) / 2  # both parts are Hermitian to rounding; Λ must be, exactly
    else:
        dsmall = vectors.conj() @ (dh + jax.vmap(partial(problem.apply, consts))(y)).T
    dvectors = y if overlap is None else y - overlap.T @ vectors / 2
    return (small, vectors, found), (dsmall, dvectors, jax.tree.map(_no_tangent, found))


def _no_tangent(a: Array) -> SymbolicZero:
    return SymbolicZero(jax.typeof(a).to_tangent_aval())


def _complement(
    problem: Problem, consts: dict[str, list], small: Array, vectors: Array, weighted: Array, source: Array
) -> Array:
    """Y of the equation at the top, for the right-hand side `source`; all vectors are rows."""
    wanted = problem.wanted
    if wanted.k == source.shape[1]:  # nothing is left over
        return jnp.zeros_like(source)
    sign = problem.sign

    def project(x):  # Q
        return x - (x @ weighted.conj().T) @ vectors

    def project_back(x):  # Q†
        return x - (x @ vectors.conj().T) @ weighted

    def matvec(y):
        y_in = project(y)
        image = jax.vmap(partial(problem.apply, consts))(y_in)
        image = image - small.T @ jax.vmap(partial(problem.metric, consts))(y_in)
        return sign * project_back(image) + (y @ weighted.conj().T) @ weighted

    fixed = jax.lax.stop_gradient((consts, vectors, weighted))
    inverse = problem.precond(fixed[0])

    def precondition(r):
        if inverse is None:
            return r
        inside = r - (r @ fixed[1].conj().T) @ fixed[2]
        z = jax.vmap(inverse)(inside)
        z = z - (z @ fixed[2].conj().T) @ fixed[1]
        return z + (r @ fixed[1].conj().T) @ fixed[1]

    tol, max_steps = wanted.adjoint
    hermitian = conjugate_gradients if isinstance(wanted.which, str) else minres
    method = hermitian if wanted.hermitian else gmres

    def solve(matvec, b):
        x, converged = method(matvec, b, precondition, tol=tol, max_steps=max_steps)
        return error_if(
            x,
            ~converged,
            f"{problem.name}: the linear equation of the derivative was not solved. A level next to the wanted ones is "
            "too near (ask for all members of a multiplet), or adjoint=Implicit(tol=…, max_steps=…) is too tight.",
        )

    def transposed(vecmat, b):
        if not wanted.hermitian:
            return solve(vecmat, b)
        # The transpose of a Hermitian map is its conjugate.
        return solve(lambda x: vecmat(x.conj()).conj(), b.conj()).conj()

    y = jax.lax.custom_linear_solve(matvec, sign * project_back(source), solve, transpose_solve=transposed)
    return project(y)

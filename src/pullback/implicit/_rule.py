r"""The derivative of a solution of F(x, θ) = 0, for every θ that F closes over.

With J = ∂F/∂x at the solution, dx = −J⁻¹ (∂F/∂θ) dθ. As elsewhere in this package the tangent is stated as a linear
equation through `jax.lax.custom_linear_solve`: its transpose is the adjoint equation, and JAX differentiates the
*equation* (its products with J at x*(θ), θ), which gives all higher orders. The rule calls itself on the primal
solution, so that x* inside J is again a differentiable function of θ. How x* was found plays no part.

Zero modes. When J has the right null vectors Z (rows, orthonormal) and W spans a complement of its range (for
symmetric J: W = Z), the matrix M = J + σ Wᵀ Z is regular, and y = (1 − Zᵀ Z) M⁻¹ b solves J y = b with the least norm;
of an inconsistent b, the part in the range of J is taken. For symmetric J this is the pseudo-inverse exactly. The
transposed program projects the cotangent and solves with Mᵀ. σ is the size of J, so that M is as well conditioned as J
is on the complement.
"""

from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, PyTree

from pullback.core import Implicit, error_if
from pullback.implicit import _linear
from pullback.implicit._flat import Flat
from pullback.implicit._inputs import check, hoist_at, hoisted, maps_to_itself, start
from pullback.implicit._linear import Choice
from pullback.implicit._modes import Modes, no_modes, rows


def attach(
    residual: Callable[[PyTree], PyTree],
    x: PyTree,
    *,
    adjoint: Implicit = Implicit(),  # noqa: B008
    zero_modes: Callable[[PyTree], PyTree] | PyTree | None = None,
) -> PyTree:
    """`x`, found by any program at all, as a differentiable function of everything that `residual` closes over.

    Args:
        residual: F with F(x) = 0, of the structure, shapes and dtypes of x. Real or complex, holomorphic or not.
        x: the solution. That F(x) is small is the caller's affair, and so are first-order errors if it is not.
        adjoint: how the linear equations of the derivatives are solved.
        zero_modes: null vectors of ∂F/∂x, as for `root`.

    Raises:
        InputError: `residual` changes the form of x.
    """
    x = start("attach", x)
    maps_to_itself("attach", residual, x, "residual(x)")
    check("attach", adjoint.tol, adjoint.max_steps)
    flat = Flat.of(x)
    v = flat.pack(x)
    closed, v = hoist_at(lambda v: flat.pack(residual(flat.unpack(v))), v)
    equation = Equation(
        closed,
        hoisted(rows("attach", zero_modes, flat), v) if zero_modes is not None else no_modes,
        _linear.choose("attach", adjoint, v.size, v.dtype, symmetric=False),
    )
    return flat.unpack(differentiable(equation, v))


class Equation(eqx.Module):
    """residual(v) = 0 on real vectors, with all that its derivative needs.

    Attributes:
        residual: hoisted, so that its leaves are what it closes over.
        modes: hoisted; v -> (W, Z), rows of zero modes.
        linear: how J y = b is solved.
        fault: true where the solution has no derivative, which raises `reason` as soon as one is asked for.
    """

    residual: Callable[[Array], Array]
    modes: Callable[[Array], Modes | None]
    linear: Choice = eqx.field(static=True)
    fault: Bool[Array, ""] | None = None
    reason: str = eqx.field(default="", static=True)

    def deflated(self, v: Float[Array, " n"]) -> tuple[Callable, Callable]:
        """(M, 1 − Zᵀ Z) at v, as functions of a vector."""

        def jacobian(y):
            return jax.jvp(self.residual, (v,), (y,))[1]

        modes = self.modes(v)
        if modes is None:
            return jacobian, lambda y: y
        left, right = modes
        sigma = jax.lax.stop_gradient(_linear.scale(jacobian, v))
        return lambda y: jacobian(y) + sigma * (left.T @ (right @ y)), lambda y: y - right.T @ (right @ y)

    def probe_residual(self, v: Float[Array, " n"]) -> Float[Array, ""]:
        """The larger relative residual of the tangent's and the adjoint's linear solve, for one random vector."""
        matvec, _ = self.deflated(v)
        vecmat = jax.linear_transpose(matvec, v)
        p = _linear.probe(v)
        return jnp.maximum(
            _linear.residual_of(self.linear, matvec, p), _linear.residual_of(self.linear, lambda y: vecmat(y)[0], p)
        )


@eqx.filter_custom_jvp
def differentiable(equation: Equation, v: Float[Array, " n"]) -> Float[Array, " n"]:
    """`v`, a solution of `equation`, with the derivatives of the solution."""
    del equation
    return v


@differentiable.def_jvp
def _(primals: tuple[Equation, Any], tangents: tuple[Any, Any]):
    (equation, v), (dequation, _) = primals, tangents
    v = differentiable(equation, v)
    fixed, live = eqx.partition(equation, jax.tree.map(_is_none, dequation, is_leaf=_is_none), is_leaf=_is_none)
    if not jax.tree.leaves(dequation):
        return v, jnp.zeros_like(v)
    _, b = jax.jvp(lambda e: eqx.combine(e, fixed).residual(v), (live,), (dequation,))
    matvec, project = equation.deflated(v)

    def solve(matvec, b):
        y = _linear.checked_solve(equation.linear, matvec, b)
        return y if equation.fault is None else error_if(y, equation.fault, equation.reason)

    return v, -project(jax.lax.custom_linear_solve(matvec, b, solve, transpose_solve=solve))


def _is_none(x):
    return x is None

r"""Functions of a general square matrix, f(A) = V f(w) V^{-1}, with exact derivatives of every order.

The derivatives are the multilinear forms of `_forms.py`. They are evaluated with the eigenvectors where these are
well enough conditioned; near and at a defective (Jordan) point the form of order m is read from a function of a block
bidiagonal matrix instead (R. Mathias, SIAM J. Matrix Anal. Appl. 17, 610 (1996)),

        ⎛ A  E_1     ⎞
    f   ⎜     A  E_2 ⎟   has  D²f(A)[E_1, E_2]  in its corner, up to the sum over the orders of the E,
        ⎝         A  ⎠

which `schur_parlett` computes without eigenvectors. Only values are needed there, because the family is closed.
"""

import itertools
from collections.abc import Callable
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jaxtyping import Array, Complex, Float, Inexact

from pullback import elementary
from pullback.core import InputError, complex_dtype
from pullback.linalg import _checks
from pullback.linalg._batch import over_batch
from pullback.linalg._forms import form, hoisted, in_eigenbasis
from pullback.linalg._schur_parlett import schur_parlett
from pullback.linalg._units import in_units

CONDITION = 1e3  # of the eigenvectors, beyond which they are not used


def funm(
    a: Inexact[Array, "*batch n n"], f: Callable[[Complex[Array, ""]], Inexact[Array, ""]]
) -> Inexact[Array, "*batch n n"]:
    r"""f(a) for a square matrix `a` and a function `f` that is analytic around its eigenvalues.

    Exact derivatives in every mode and order with respect to `a` and to whatever `f` closes over, also at degenerate
    and at defective matrices. For Hermitian matrices `funmh` is faster, and asks less of `f`.

    Args:
        a: square matrix, real or complex, any leading batch axes.
        f: scalar function of a complex number, written with `jax.numpy`, analytic (holomorphic) near the eigenvalues.

    Returns:
        f(a); real if `a` is real and `f` maps real to real numbers (then `f` must commute with complex conjugation).

    Raises:
        InputError: `a` is not square, or (outside `jit`) not finite; the result of a real function of a real matrix
            is not real, or not finite.

    Examples:
        At a Jordan block the derivative of f appears.

        >>> import jax.numpy as jnp, pullback as pb
        >>> print(pb.linalg.funm(jnp.array([[2.0, 1.0], [0.0, 2.0]]), lambda x: x**3))
        [[ 8. 12.]
         [ 0.  8.]]
    """
    return _function("funm", a, f)


def logm(a: Inexact[Array, "*batch n n"]) -> Inexact[Array, "*batch n n"]:
    """The principal matrix logarithm, eigenvalues with imaginary part in (−π, π].

    Raises:
        InputError: `a` is not square, or (outside `jit`) not finite, or singular, or real with negative eigenvalues
            (pass it as complex then).
    """
    return _function("logm", a, jnp.log)


def sqrtm(a: Inexact[Array, "*batch n n"]) -> Inexact[Array, "*batch n n"]:
    """The principal square root, eigenvalues in the right half plane. Derivatives need a regular matrix.

    Raises:
        InputError: `a` is not square, or (outside `jit`) not finite, or real with negative eigenvalues
            (pass it as complex then).
    """
    return _function("sqrtm", a, jnp.sqrt)


def fractional_power(a: Inexact[Array, "*batch n n"], p: Float[Array, ""] | float) -> Inexact[Array, "*batch n n"]:
    """The principal power a^p = exp(p log a), also differentiable with respect to `p`.

    Raises:
        InputError: `a` is not square, or (outside `jit`) not finite, or real with negative eigenvalues
            (pass it as complex then).
    """
    return _function("fractional_power", a, lambda x: x**p)


def signm(a: Inexact[Array, "*batch n n"]) -> Inexact[Array, "*batch n n"]:
    """The matrix sign: eigenvalues in the right half plane become 1, those in the left −1.

    (1 + signm(a))/2 is the (oblique) projector on the right half plane.

    Raises:
        InputError: `a` is not square, or (outside `jit`) not finite, or has eigenvalues on the imaginary axis.
    """
    return _function("signm", a, _sign)


def cosm(a: Inexact[Array, "*batch n n"]) -> Inexact[Array, "*batch n n"]:
    """The matrix cosine.

    Raises:
        InputError: `a` is not square, or (outside `jit`) not finite.
    """
    return _function("cosm", a, jnp.cos)


def sinm(a: Inexact[Array, "*batch n n"]) -> Inexact[Array, "*batch n n"]:
    """The matrix sine.

    Raises:
        InputError: `a` is not square, or (outside `jit`) not finite.
    """
    return _function("sinm", a, jnp.sin)


def _sign(x):
    return jnp.where(x.real > 0, 1.0, -1.0).astype(x.dtype)


def _function(name, a, f):
    a = _checks.square(name, a)
    hoisted_f, theta = hoisted(f, a, complex_dtype(a.dtype))
    real = not jnp.iscomplexobj(a) and not jnp.iscomplexobj(jax.eval_shape(f, jax.ShapeDtypeStruct((), a.dtype)))
    evaluate = partial(_general_form, real)

    def of_matrix(a):
        spectrum = _decomposed(jax.lax.stop_gradient(a))
        if not any(isinstance(x, Tracer) for x in (a, *theta)):
            _refuse(name, real, lambda x: hoisted_f(x, *theta), spectrum[0])
        return form(evaluate, hoisted_f, spectrum, theta, a, ())

    out = over_batch(of_matrix, a, "(n,n)->(n,n)")
    _checks.finite(
        out,
        lambda: (
            f"{name}: the matrix is too far from normal for how close its eigenvalues are to where the function "
            "is singular, or its values overflow."
        ),
    )
    return out


def _refuse(name, real, f, w):
    """Eigenvalues at which the function does not exist, or is not the one that was meant."""
    both = jnp.stack([w, w.conj() + 0])  # + 0: one side of a branch cut
    values, mirrored = np.asarray(jax.vmap(jax.vmap(f))(both))
    w = np.asarray(w)
    size, tolerance = np.abs(w).max(), np.finfo(w.dtype).eps ** 0.5
    if not np.isfinite(values).all() or (name == "logm" and np.abs(w).min() <= w.size * np.finfo(w.dtype).eps * size):
        raise InputError(
            f"{name}: the function is not finite at the eigenvalues; smallest |w| = {np.abs(w).min():.2e}."
        )
    if name == "signm" and np.abs(np.real(w)).min() <= w.size * np.finfo(w.dtype).eps * size:
        raise InputError("signm: an eigenvalue lies on the imaginary axis, where the sign jumps.")
    if real and np.abs(mirrored - values.conj()).max() > tolerance * np.abs(values).max():
        raise InputError(
            f"{name}: the result for this real matrix is not real (negative eigenvalues of a square root, a logarithm "
            "or a power, for instance). Pass it as complex: a.astype(complex)."
        )


def _decomposed(a):
    """Eigenvalues, vectors, their inverse, and the condition number of the vectors."""
    a, s = in_units(a)
    w, v = jnp.linalg.eig(a)
    w = w * s.astype(w.dtype)
    v_inv = jnp.linalg.inv(v)
    return w + 0, v, v_inv, jnp.linalg.norm(v) * jnp.linalg.norm(v_inv) / w.size  # + 0: no negative zeros


def _general_form(real, f, theta, spectrum, a, es):
    """How a form is evaluated for general `a`; `real`: f(a) is real for real `a`."""

    def evaluate(spectrum, theta, a, es):
        w, v, v_inv, condition = spectrum

        def g(x):
            return f(x, *theta).astype(w.dtype)

        def by_vectors():
            if not es:
                return (v * jax.vmap(g)(w)[None, :]) @ v_inv
            return v @ in_eigenbasis(g, w, [v_inv @ e.astype(v.dtype) @ v for e in es]) @ v_inv

        def by_blocks():
            scaled, s = in_units(a)
            t, q = jax.lax.linalg.schur(scaled.astype(w.dtype))
            t = t * s.astype(t.dtype)
            if not es:
                return q @ _trusted(*schur_parlett(g, t)) @ q.conj().T
            stack = jnp.stack([q.conj().T @ e.astype(q.dtype) @ q for e in es])
            orders = jnp.array(list(itertools.permutations(range(len(es)))))
            return q @ jnp.sum(jax.lax.map(lambda order: _corner(g, t, stack[order]), orders), axis=0) @ q.conj().T

        if not isinstance(condition, Tracer):
            return by_vectors() if condition < CONDITION else by_blocks()
        return jax.lax.cond(condition < CONDITION, by_vectors, by_blocks)

    if isinstance(spectrum[-1], Tracer):
        # One matrix after the other under vmap, or both ways would be computed for all.
        evaluate = jax.custom_batching.sequential_vmap(evaluate)
    out = evaluate(spectrum, theta, a, es)
    return out.real if real and not any(map(jnp.iscomplexobj, es)) else out


def _corner(g, t, es):
    """The block in the corner of g applied to the block bidiagonal matrix of `t` and the `es`, brought to its size."""
    m, n, _ = es.shape
    norms, size = elementary.norm(es, axis=(1, 2)), elementary.norm(t)
    scales = jnp.where(norms == 0, 1, norms) / jnp.where(size == 0, 1, size)
    above = jax.scipy.linalg.block_diag(*(es / scales[:, None, None].astype(es.dtype)))
    blocks = jnp.kron(jnp.eye(m + 1, dtype=t.dtype), t) + jnp.pad(above, ((0, n), (n, 0)))  # triangular, as t is
    return _trusted(*schur_parlett(g, blocks))[:n, m * n :] * jnp.prod(scales).astype(t.dtype)


def _trusted(value, relative_error):
    """NaN where a third of the digits is not left: a singularity of f too close for how far from normal `a` is."""
    return jnp.where(relative_error <= jnp.finfo(value.dtype).eps ** (1 / 3), value, jnp.nan)

r"""Cholesky decomposition.

Mathematics. A = L L† with L lower triangular and its diagonal positive. From dA = dL L† + L dL† follows
L^-1 dL + (L^-1 dL)† = L^-1 dA L^-†, whose lower triangle, the diagonal halved, is L^-1 dL (S. P. Smith, J. Comput.
Graph. Stat. 4, 134 (1995); I. Murray, arXiv:1602.07527). JAX's rule is this one, made of triangular solves, right in
every mode and order: it is used as it is, behind checks of the input.
"""

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Inexact

from pullback.linalg import _checks


def cholesky(a: Inexact[Array, "*batch n n"], *, upper: bool = False) -> Inexact[Array, "*batch n n"]:
    r"""The lower triangular l with a = l l† and a positive diagonal; with `upper`, the r = l† with a = r† r.

    Derivatives are exact in every mode and order; near a singular matrix they lose the digits that its condition
    number costs l itself. At a singular matrix, semidefinite, they do not exist.

    Args:
        a: Hermitian positive definite matrix, real or complex, any leading batch axes. The Hermitian part is used.

    Raises:
        InputError: `a` is not square, or (outside `jit`) not finite, not Hermitian or not positive definite.

    Examples:
        >>> import jax.numpy as jnp, pullback as pb
        >>> print(pb.linalg.cholesky(jnp.array([[4.0, 2.0], [2.0, 5.0]])))
        [[2. 0.]
         [1. 2.]]
    """
    a = _checks.hermitian("cholesky", a)
    l = jnp.linalg.cholesky(a, upper=upper, symmetrize_input=False)
    _checks.finite(l, lambda: _not_positive(np.asarray(a)))
    return l


def _not_positive(a):
    return (
        f"cholesky needs a positive definite matrix; the smallest eigenvalue is {np.linalg.eigvalsh(a).min():.2e}. "
        "Add a multiple of the identity, or use eigh for a matrix that is only semidefinite."
    )

r"""Entropies and distances of density matrices, with exact derivatives also where states are pure or lose rank.

Logarithms and roots are infinitely steep at 0, but on states of constant rank nothing of that is seen: as long as the
zero eigenvalues of ρ(t) stay zero, tr f(ρ(t)) is the same for every f with f(0) = 0 and the same values elsewhere,
smooth near 0 or not. So f is replaced near 0 by a smooth function, and all derivatives along such curves, pure states
among them, are exact. The divided differences of the replacement between 0 and a positive level are those of f, and
what it does between two zeros drops out, because there dρ vanishes and d²ρ is fixed by the constant rank.

"Near 0" is up to τ = 16 n eps · max(w). There the replacements are

- entropy: −x log x → −x log τ, the chord. Weight that enters the kernel, where the true slope is +∞, is seen with the
  slope −log τ (about 32 in double precision). Weight c t² has the slope 0 at t = 0, which is right, and −2c log τ as
  second derivative, which stands for +∞.
- relative entropy: the same for ρ, and log x → log τ for σ: weight of ρ that leaves the support of σ costs −log τ.
- fidelity: √x → 0. F = (Σ_i s_i)² with the singular values s of B = √ρ √σ is evaluated as

      F = tr ρσ + [(Σ_i s_i)² − Σ_i s_i²],

  with the sums in brackets over the s_i above zero. For a pure ρ or σ the bracket vanishes identically, and F = tr ρσ
  has its derivatives in all directions, at orthogonal states too. Else the roots √w of weights that enter a kernel,
  whose slope is infinite, are left out; and where mixed ρ and σ are orthogonal, the part of tr ρσ is returned.

Sources: A. Uhlmann, Rep. Math. Phys. 9, 273 (1976); M. Hübner, Phys. Lett. A 163, 239 (1992); D. Šafránek, Phys. Rev.
A 95, 052320 (2017), arXiv:1612.04581 (what the Bures metric is at changes of rank).
"""

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jaxtyping import Array, Float, Inexact

from pullback.core import InputError
from pullback.linalg import _checks
from pullback.linalg._batch import over_batch
from pullback.linalg._norms import sum_of_kept, zero_tolerance
from pullback.linalg._spectral import decomposed
from pullback.linalg._svd import Keep, decompose


def entropy(rho: Inexact[Array, "*batch n n"]) -> Float[Array, "*batch"]:
    r"""Von Neumann entropy −tr ρ log ρ of a density matrix, in nats.

    Derivatives of every order are exact along states of constant rank, degenerate and pure ones included. Where the
    rank grows the true slope is +∞; returned is −log τ with the numerical zero τ = 16 n eps · max(w), in every mode,
    and finite values of its order for the infinite second derivatives.

    Args:
        rho: Hermitian, positive semidefinite, any leading batch axes. Its trace is not checked, and counts.

    Raises:
        InputError: `rho` is not square, or (outside `jit`) not finite, not Hermitian or not positive semidefinite.

    Examples:
        A pure state keeps the entropy 0.

        >>> import jax, jax.numpy as jnp, pullback as pb
        >>> def pure(t):
        ...     psi = jnp.array([jnp.cos(t), jnp.sin(t)])
        ...     return pb.linalg.entropy(jnp.outer(psi, psi))
        >>> print(f"{abs(jax.grad(pure)(0.3)):.6f} {abs(jax.grad(jax.grad(pure))(0.3)):.6f}")
        0.000000 0.000000
    """
    return over_batch(_entropy, _state("entropy", rho), "(n,n)->()")


def relative_entropy(
    rho: Inexact[Array, "*batch n n"], sigma: Inexact[Array, "*batch_s n n"]
) -> Float[Array, "*batch_d"]:
    r"""Quantum relative entropy tr ρ (log ρ − log σ), in nats; +∞ where the support of ρ is not inside that of σ.

    Derivatives are exact along states of constant rank with nested supports. Where weight leaves the support of σ,
    derivatives are those of the finite expression with log τ for log 0, as in `entropy`; this holds also where the
    value is +∞, so that they point back.

    Raises:
        InputError: as `entropy`; sizes differ.
    """
    rho, sigma = _pair("relative_entropy", rho, sigma)
    return jnp.vectorize(_relative_entropy, signature="(n,n),(n,n)->()")(rho, sigma)


def fidelity(rho: Inexact[Array, "*batch n n"], sigma: Inexact[Array, "*batch_s n n"]) -> Float[Array, "*batch_d"]:
    r"""Fidelity F = (tr (√ρ σ √ρ)^½)² of Uhlmann and Jozsa: |⟨ψ|φ⟩|² for pure states (its root is used elsewhere).

    Derivatives are exact in all directions if one of the states is pure, and along states of constant rank (of ρ, σ and
    √ρ√σ) else. Where weights w enter a kernel on which the other state is not zero, F grows like √w, infinitely steep;
    that part is left out of the derivatives.

    Raises:
        InputError: as `entropy`; sizes differ.
    """
    rho, sigma = _pair("fidelity", rho, sigma)
    return jnp.vectorize(_fidelity, signature="(n,n),(n,n)->()")(rho, sigma)


def bures_distance(
    rho: Inexact[Array, "*batch n n"], sigma: Inexact[Array, "*batch_s n n"], *, squared: bool = False
) -> Float[Array, "*batch_d"]:
    r"""Bures distance D = (tr ρ + tr σ − 2√F)^½, √2 at most for normalised states; D² if `squared`.

    D² is smooth at ρ = σ, where its second derivative along ρ(t) is half the quantum Fisher information,

        ∂²D²/∂t² = Σ_ij |∂ρ_ij|² / (w_i + w_j),       w_i + w_j > 0

    (at constant rank). D itself has a kink there, like |t|: its derivatives are returned as 0 where D² is zero to
    rounding, n · eps. Other conventions are those of `fidelity`.

    Raises:
        InputError: as `entropy`; sizes differ.
    """
    rho, sigma = _pair("bures_distance", rho, sigma)
    square = jnp.vectorize(_bures_squared, signature="(n,n),(n,n)->()")(rho, sigma)
    if squared:
        return square
    return _root(square, 4 * rho.shape[-1] * float(jnp.finfo(square.dtype).eps))


def _state(name, rho):
    rho = _checks.hermitian(name, rho)
    if not isinstance(rho, Tracer):
        w = np.linalg.eigvalsh(np.asarray(rho))
        if (w[..., 0] < -(float(np.finfo(w.dtype).eps) ** 0.5) * np.abs(w).max(axis=-1)).any():
            raise InputError(
                f"{name} needs a positive semidefinite matrix, but the smallest eigenvalue is {w.min():.2e}. "
                "Project it on the states first."
            )
    return rho


def _pair(name, rho, sigma):
    rho, sigma = _state(name, rho), _state(name, sigma)
    if rho.shape[-2:] != sigma.shape[-2:]:
        raise InputError(f"{name} needs two states of the same size, got {rho.shape} and {sigma.shape}.")
    dtype = jnp.result_type(rho, sigma)
    return rho.astype(dtype), sigma.astype(dtype)


def _spectrum(rho):
    """The decomposition and the numerical zero."""
    spectrum = decomposed(rho)
    tau = zero_tolerance(rho) * jnp.max(jnp.abs(spectrum.w))
    return spectrum, jnp.where(tau == 0, 1, tau)


def _above(x, tau, f, near_zero):
    """f(x), or near_zero(x) up to tau."""
    zero = x <= tau
    return jnp.where(zero, near_zero(x), f(jnp.where(zero, 1, x)))


def _entropy(rho):
    spectrum, tau = _spectrum(rho)
    return spectrum.trace(lambda x: _above(x, tau, lambda x: -x * jnp.log(x), lambda x: -x * jnp.log(tau))).real


def _relative_entropy(rho, sigma):
    spectrum, tau = _spectrum(sigma)
    logarithm = spectrum.apply(lambda x: _above(x, tau, jnp.log, lambda x: jnp.log(tau) + 0 * x))
    kernel = jnp.where(spectrum.w <= tau, spectrum.u, 0)
    outside = jnp.sum((kernel.conj() * (jax.lax.stop_gradient(rho) @ kernel)).real)
    infinite = outside > zero_tolerance(rho) * jnp.trace(jax.lax.stop_gradient(rho)).real
    finite = -_entropy(rho) - jnp.sum(rho.T * logarithm).real
    return finite + jnp.where(infinite, jnp.inf, 0)


def _fidelity(rho, sigma):
    # One singular value more, as large as they can be: zeros are zeros on this scale, not on that of rounding in b.
    size = jnp.sqrt(jax.lax.stop_gradient(jnp.trace(rho) * jnp.trace(sigma)).real)
    b = jnp.pad(_square_root(rho) @ _square_root(sigma), (0, 1)).at[-1, -1].set(size.astype(rho.dtype))
    keep = Keep(rtol=zero_tolerance(rho), as_one=True)
    u, s, _ = decompose(None, False, keep, b)
    kept = jnp.where(keep(s), u, 0)
    bracket = (sum_of_kept(keep, b) - size) ** 2 - (jnp.sum(jnp.abs(kept.conj().T @ b) ** 2) - size**2)
    return jnp.sum(rho.T * sigma).real + bracket


def _square_root(rho):
    spectrum, tau = _spectrum(rho)
    return spectrum.apply(lambda x: _above(x, tau, jnp.sqrt, lambda x: 0 * x))


def _bures_squared(rho, sigma):
    traces = (jnp.trace(rho) + jnp.trace(sigma)).real
    return traces - 2 * _root(_fidelity(rho, sigma), (zero_tolerance(rho) * jax.lax.stop_gradient(traces)) ** 2)


def _root(x, zero):
    """√x, constant where x is zero to rounding."""
    tiny = x <= zero
    return jnp.where(tiny, jnp.sqrt(jnp.maximum(jax.lax.stop_gradient(x), 0)), jnp.sqrt(jnp.where(tiny, 1, x)))

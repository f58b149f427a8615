r"""Functions of a Hermitian matrix: f(A) = U f(w) U†, projectors, density matrices, from one decomposition.

All of them are one `form` (see `_forms.py`), exact in every mode and order at every spectrum. A projector is the
function of a step between two levels; its divided differences inside the occupied and inside the empty space vanish,
so that no gap but the one at the step appears.

A density matrix at a fixed number of electrons N has a chemical potential μ(A) with

    N = tr f((A − μ)/T),

whose derivatives are those of this equation; the value comes from bisection on the levels.
"""

from collections.abc import Callable
from functools import cache, partial

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jaxtyping import Array, Float, Inexact

from pullback.core import InputError, is_live, result_type, whole_number
from pullback.linalg import _checks
from pullback.linalg._forms import form, hoisted, in_eigenbasis, product
from pullback.linalg._occupations import (
    Scalar,
    Smearing,
    bisect,
    check_electrons,
    check_number,
    check_temperature,
    occupation_function,
)


class Spectral(eqx.Module):
    """A Hermitian matrix with its eigendecomposition, made by `spectral(a)`.

    Differentiable with respect to `a`; `w` and `u` are values, held constant (derivatives of single levels and
    vectors are those of `eigh`).

    Attributes:
        a: the matrix, shape (..., n, n).
        w: eigenvalues, ascending, shape (..., n).
        u: eigenvectors as columns, shape (..., n, n).
    """

    a: Inexact[Array, "*batch n n"]
    w: Float[Array, "*batch n"]
    u: Inexact[Array, "*batch n n"]

    def apply(self, f: Callable[[Float[Array, ""]], Inexact[Array, ""]]) -> Inexact[Array, "*batch n n"]:
        """f(a), as `funmh`."""
        f, theta = hoisted(f, self.w)
        out = self._each(lambda a, w, u: form(hermitian_form, f, (w, u), theta, a, ()))
        _checks.finite(out, lambda: f"the function is not finite on the eigenvalues, {self.w.min()} to {self.w.max()}.")
        return out

    def trace(self, f: Callable[[Float[Array, ""]], Inexact[Array, ""]]) -> Inexact[Array, "*batch"]:
        """tr f(a): free energies, log-determinants, numbers of particles."""
        return jnp.trace(self.apply(f), axis1=-2, axis2=-1)

    def projector(
        self, k: int | None = None, *, interval: tuple[float, float] | None = None
    ) -> Inexact[Array, "*batch n n"]:
        """The projector on the `k` lowest levels, or on the levels in an interval, as `spectral_projector`."""
        if interval is not None and k is None:
            low, high = interval
            self._no_level_at("interval", low, high)
            return self.apply(lambda x: jnp.where((x > low) & (x < high), 1.0, 0.0).astype(x.dtype))
        if k is None or interval is not None:
            raise InputError("spectral_projector needs either k or interval.")
        n = self.w.shape[-1]
        k = whole_number("spectral_projector", "k", k)
        if not 0 <= k <= n:
            raise InputError(f"spectral_projector: k must be a whole number from 0 to n = {n}, got {k!r}.")
        if k in (0, n):
            eye = jnp.broadcast_to(jnp.eye(n, dtype=self.a.dtype), self.a.shape)
            return eye if k else jnp.zeros_like(eye)
        self._gap_above(k)
        return self._each(partial(_lowest, k))

    def chemical_potential(
        self, n_electrons: Scalar, temperature: Scalar, smearing: Smearing = "fermi"
    ) -> Float[Array, "*batch"]:
        """The chemical potential at which the occupations of the levels sum to `n_electrons`."""
        occupation = occupation_function(smearing)
        check_temperature(temperature)
        check_electrons(n_electrons, self.w.shape[-1], open_interval=True)
        n, temperature = (jnp.asarray(x, self.w.dtype) for x in (n_electrons, temperature))
        return self._each(partial(_chemical_potential, occupation, n, temperature), "()")

    def density_matrix(
        self,
        mu: Scalar | None = None,
        *,
        n_electrons: Scalar | None = None,
        temperature: Scalar = 0.0,
        smearing: Smearing = "fermi",
    ) -> Inexact[Array, "*batch n n"]:
        """Σ_i f(w_i) u_i u_i†, as `density_matrix`."""
        if (mu is None) == (n_electrons is None):
            raise InputError("density_matrix needs either mu or n_electrons.")
        occupation = occupation_function(smearing)
        check_temperature(temperature)
        check_number("mu", 0 if mu is None else mu)
        # As Python numbers: inside jit every array is traced, and would hide what its value is.
        if not isinstance(temperature, Tracer) and float(temperature) == 0:
            return self._zero_temperature(mu, n_electrons)
        t = jnp.asarray(temperature, self.w.dtype)
        if mu is not None:
            mu = jnp.asarray(mu, self.w.dtype)
            return self.apply(lambda x: occupation((x - mu) / t))
        check_electrons(n_electrons, self.w.shape[-1], open_interval=True)
        n = jnp.asarray(n_electrons, self.w.dtype)
        return self._each(partial(_density_matrix, occupation, n, t))

    def _zero_temperature(self, mu, n_electrons):
        if mu is not None:
            self._no_level_at("mu", mu)
            return self.apply(lambda x: jnp.where(x < mu, 1.0, 0.0).astype(x.dtype))
        if isinstance(n_electrons, Tracer):
            raise InputError("density_matrix: at temperature 0 n_electrons must be a plain number; it selects levels.")
        check_electrons(n_electrons, self.w.shape[-1])
        count = float(n_electrons)
        if count != round(count):
            raise InputError(
                f"density_matrix: n_electrons = {n_electrons} at temperature 0 fills a level in part; "
                "pass a whole number or temperature > 0."
            )
        return self.projector(round(count))

    def _each(self, fun, result="(n,n)"):
        """`fun(a, w, u)` for every matrix of the batch."""
        if self.a.ndim == 2:
            return fun(self.a, self.w, self.u)
        return jnp.vectorize(fun, signature=f"(n,n),(n),(n,n)->{result}")(self.a, self.w, self.u)

    def _gap_above(self, k):
        if not isinstance(self.w, Tracer):
            w = np.asarray(self.w)
            gap, size = w[..., k] - w[..., k - 1], np.abs(w).max(axis=-1)
            if (gap <= 16 * w.shape[-1] * np.finfo(w.dtype).eps * size).any():
                raise InputError(
                    f"no gap above level {k}: the projector on the {k} lowest levels is not unique, because a "
                    f"degenerate level is cut. Take all of its members, or a density matrix at temperature > 0."
                )

    def _no_level_at(self, name, *edges):
        if any(isinstance(x, Tracer) for x in (self.w, *edges)):
            return
        w = np.asarray(self.w)
        for edge in edges:
            distance = np.abs(w - np.asarray(edge)).min(initial=np.inf)  # a batch may be empty
            if distance <= 16 * w.shape[-1] * np.finfo(w.dtype).eps * np.abs(w).max(initial=0):
                raise InputError(f"a level lies at {name} = {edge}, where the occupation jumps. Move it into a gap.")


def spectral(a: Inexact[Array, "*batch n n"]) -> Spectral:
    """The decomposition of a Hermitian matrix, for several functions of it: `.apply(f)`, `.trace(f)`, `.projector(k)`,
    `.density_matrix(...)`, `.chemical_potential(...)`, all with exact derivatives with respect to `a`.

    Raises:
        InputError: `a` is not square, or (outside `jit`) not finite or not Hermitian.

    Examples:
        >>> import jax, jax.numpy as jnp, pullback as pb
        >>> def free_energy(a):  # Helmholtz free energy of spinless fermions at temperature 1, mu = 0
        ...     return -pb.linalg.spectral(a).trace(lambda x: jnp.logaddexp(0.0, -x))
        >>> a = jnp.array([[0.0, -1.0], [-1.0, 0.0]])
        >>> print(f"{jax.grad(free_energy)(a)[0, 0]:.10f}")  # the occupation of the first site
        0.5000000000
    """
    a = _checks.hermitian("spectral", a)
    return decomposed(a)


def decomposed(a: Inexact[Array, "*batch n n"]) -> Spectral:
    """`spectral` without checks."""
    w, u = jnp.linalg.eigh(jax.lax.stop_gradient(a), symmetrize_input=False)
    return Spectral(a, w, u)


def funmh(
    a: Inexact[Array, "*batch n n"], f: Callable[[Float[Array, ""]], Inexact[Array, ""]]
) -> Inexact[Array, "*batch n n"]:
    r"""f(a) for a Hermitian matrix `a` and a function `f` of a real number.

    Exact derivatives in every mode and order, also where levels are degenerate or nearly so, with respect to `a`
    and to whatever `f` closes over.

    Args:
        a: Hermitian matrix, real or complex, any leading batch axes. The Hermitian part is used.
        f: scalar function, real in, real or complex out, written with `jax.numpy`; smooth near the eigenvalues
            that are degenerate. Four derivatives more than asked for are evaluated at the eigenvalues; where
            they are not finite, divided differences of values are used instead.

    Raises:
        InputError: `a` is not square, or (outside `jit`) not finite or not Hermitian.

    Examples:
        The derivative of exp(a)_01 in the direction of a_01 between two equal levels is e/2.

        >>> import jax, jax.numpy as jnp, pullback as pb
        >>> a = jnp.diag(jnp.array([1.0, 1.0, 2.0]))
        >>> print(f"{jax.grad(lambda a: pb.linalg.funmh(a, jnp.exp)[0, 1])(a)[0, 1]:.10f}")
        1.3591409142
    """
    return decomposed(_checks.hermitian("funmh", a)).apply(f)


def spectral_projector(
    a: Inexact[Array, "*batch n n"], k: int | None = None, *, interval: tuple[float, float] | None = None
) -> Inexact[Array, "*batch n n"]:
    """The orthogonal projector on the `k` lowest levels of a Hermitian matrix, or on its levels in an interval.

    Exact derivatives in every mode and order whatever the spectrum inside and outside is; only the gap at the edge
    enters.

    Args:
        a: Hermitian matrix, real or complex, any leading batch axes. The Hermitian part is used.
        k: how many levels, a plain integer.
        interval: (low, high) instead of k.

    Raises:
        InputError: `a` is not square, or (outside `jit`) not finite or not Hermitian; k is not from 0 to n; (outside
            `jit`) a degenerate level is cut, or one lies at an end of the interval.
    """
    return decomposed(_checks.hermitian("spectral_projector", a)).projector(k, interval=interval)


def density_matrix(
    a: Inexact[Array, "*batch n n"],
    mu: Scalar | None = None,
    *,
    n_electrons: Scalar | None = None,
    temperature: Scalar = 0.0,
    smearing: Smearing = "fermi",
) -> Inexact[Array, "*batch n n"]:
    r"""The one-particle density matrix f((a − μ)/T) of independent fermions with Hamiltonian `a`.

    Each eigenvector holds between 0 and 1 electron (double the result for closed shells). With `n_electrons` the
    chemical potential follows from the trace, and its response to `a`, to the temperature and to the number of
    electrons is part of the derivatives. At temperature 0 the occupations are a step, which must lie in a gap.

    Args:
        a: Hermitian matrix, real or complex, any leading batch axes. The Hermitian part is used.
        mu: chemical potential, in the units of `a`.
        n_electrons: the trace of the result, instead of `mu`.
        temperature: k_B T, or the smearing width, in the units of `a`. If traced it must be positive.
        smearing: "fermi" 1/(1 + e^x), "gaussian" erfc(x)/2, or "cold" (Marzari–Vanderbilt), x = (ε − μ)/T.

    Raises:
        InputError: `a` is not square, or (outside `jit`) not finite or not Hermitian; not exactly one of mu and
            n_electrons; negative temperature; n_electrons out of range; at temperature 0 (outside `jit`) no gap.

    Examples:
        >>> import jax, jax.numpy as jnp, pullback as pb
        >>> ring = -(jnp.roll(jnp.eye(6), 1, 0) + jnp.roll(jnp.eye(6), -1, 0))  # half filling: 3 electrons
        >>> bond_order = pb.linalg.density_matrix(ring, n_electrons=3)[0, 1]
        >>> print(f"{bond_order:.6f}")
        0.333333
    """
    a = _checks.hermitian("density_matrix", a)
    return decomposed(a).density_matrix(mu, n_electrons=n_electrons, temperature=temperature, smearing=smearing)


def hermitian_form(f, theta, spectrum, a, es):
    """How a form is evaluated for Hermitian `a`."""
    del a
    w, u = spectrum
    uh = u.conj().T
    if not es:
        values = jax.vmap(lambda x: f(x, *theta))(w)[None, :]
        return product(u.astype(result_type(u, values)) * values.astype(result_type(u, values)), uh)
    return product(u, in_eigenbasis(lambda x: f(x, *theta), w, [product(uh, e, u) for e in es]), uh)


def _lowest(k, a, w, u):
    cut = (w[k - 1] + w[k]) / 2
    return form(hermitian_form, _step, (w, u), (cut,), a, ())


def _step(x, cut):
    return jnp.where(x < cut, 1.0, 0.0).astype(x.dtype)


def _density_matrix(occupation, n_electrons, temperature, a, w, u):
    mu = _chemical_potential(occupation, n_electrons, temperature, a, w, u)
    return form(hermitian_form, _occupied(occupation), (w, u), (mu, temperature), a, ())


@cache
def _occupied(occupation):
    return lambda x, mu, temperature: occupation((x - mu) / temperature)


@partial(jax.custom_jvp, nondiff_argnums=(0,))
def _chemical_potential(occupation, n_electrons, temperature, a, w, u):
    del a, u
    return bisect(occupation, n_electrons.astype(w.dtype), temperature.astype(w.dtype), w)


@partial(_chemical_potential.defjvp, symbolic_zeros=True)
def _chemical_potential_jvp(occupation, primals, tangents):
    """dN = tr(∂f/∂μ) dμ + tr(∂f/∂T) dT + tr(f′ dA), solved for dμ; f depends on A − μ, so that f′ = −∂f/∂μ."""
    _, temperature, a, w, u = primals
    dn, dt, da, _, _ = tangents
    mu = _chemical_potential(occupation, *primals)

    def response(argument):
        df = _response(occupation, argument)
        return form(hermitian_form, df, (w, u), (mu, temperature.astype(w.dtype)), a, ())

    by_mu = response(0)
    slope = jnp.trace(by_mu).real
    total = jnp.zeros_like(mu)
    if is_live(dn):
        total += dn.astype(w.dtype)
    if is_live(da):
        total += jnp.sum(by_mu.T * da).real
    if is_live(dt):
        total -= jnp.trace(response(1)).real * dt.astype(w.dtype)
    # In a wide gap neither the number nor the density matrix depends on mu (powers of the slope must not underflow).
    flat = jnp.abs(slope * temperature) <= jnp.finfo(w.dtype).tiny ** 0.2
    return mu, jnp.where(flat, 0, total / jnp.where(flat, 1, slope))


@cache
def _response(occupation, argument):
    """∂f/∂μ (argument 0) or ∂f/∂T (argument 1), as a function of (x, μ, T)."""
    f = _occupied(occupation)

    def slope(x, *parameters):
        # Forward: reverse mode inside shard_map would sum over the devices that share a parameter.
        tangents = tuple(jnp.full_like(p, i == argument) for i, p in enumerate(parameters))
        return jax.jvp(lambda *p: f(x, *p), parameters, tangents)[1]

    return slope

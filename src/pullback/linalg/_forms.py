r"""The multilinear forms D^m f(A)[E_1 … E_m] of a function of a matrix: the family that AD of f(A) stays in.

At a degeneracy the derivative of f(A) needs f′ *between* the levels of the block, which no rule on eigenvalues and
vectors can know. With divided differences (Daleckii–Krein) there is nothing special about a degeneracy:

    D^m f(A)[E_1 … E_m] = V ( Σ_perm Σ_{k..} f[w_i, w_k1, …, w_j] M¹_{i k1} M²_{k1 k2} ⋯ M^m_{.. j} ) V^{-1},
    M^s = V^{-1} E_s V,       A = V diag(w) V^{-1}.

The family is closed under all that AD asks for:

- derivative in A: one more argument, D^{m+1} f(A)[E_1 … E_m, dA];
- derivative in E_s: the same form with dE_s in its place;
- transpose in E_s: tr(C D^m f(A)[E_1 … E_m]) is symmetric under exchange of C with any E_s, because the divided
  difference is a symmetric function of its points and the trace is cyclic. So the transpose is the same form
  with the cotangent in the place of E_s;
- parameters θ that f closes over: f is replaced by its directional derivative in θ.

How a form is evaluated is the business of the two users: `funmh` (Hermitian A) and `funm` (general A).

Cost: O(n³) for the value and the first derivative, O(n^{m+1}) for the m-th (O(n²) memory for every m).

Sources: Yu. L. Daleckii, S. G. Krein (1951); N. J. Higham, Functions of Matrices (SIAM 2008), ch. 3;
R. Bhatia, Matrix Analysis (1997), ch. X.
"""

import itertools
import math
from collections.abc import Callable
from functools import lru_cache, partial, reduce

import jax
import jax.numpy as jnp
from jax.core import Tracer
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, PyTree

from pullback.core import InputError, hoist, is_live, linear_map, result_type, vary_like
from pullback.linalg._divided_differences import divided_difference, taylor_coefficients

Evaluate = Callable[[Callable, tuple, PyTree, Array, tuple], Array]  # (f, theta, spectrum, a, es) -> D^m f(a)[es]


def hoisted(f: Callable, w: Array, dtype=None) -> tuple[Callable, tuple]:
    """(f, theta) with all that is traced in the scalar function f moved to the parameters of f(x, *theta).

    The numbers x are to be entries of `w`, or of its values in another `dtype`.
    """
    point = vary_like(jnp.zeros((), dtype or w.dtype), w)
    shapes = [leaf.shape for leaf in jax.tree.leaves(jax.eval_shape(f, point))]
    if shapes != [()]:
        raise InputError(f"a function of a matrix needs a function of a number; this one returns the shapes {shapes}.")
    closed, theta, _ = hoist(f, point)
    return lambda x, *theta: closed(list(theta), x), tuple(theta)


@partial(jax.custom_jvp, nondiff_argnums=(0, 1))
def form(evaluate: Evaluate, f: Callable, spectrum: PyTree, theta: tuple, a: Array, es: tuple) -> Array:
    """D^m f(a)[es] with m = len(es) and f = f(x, *theta).

    `spectrum` is what `evaluate` needs to know of `a`, computed once and held constant: the value is read from it,
    the derivatives are those with respect to `a`.
    """
    if any(isinstance(x, Tracer) for x in jax.tree.leaves((spectrum, theta, a, es))):
        return _evaluated(evaluate, f, theta, spectrum, a, es)
    return evaluate(f, theta, spectrum, a, es)  # a program would be compiled for every new f


@partial(jax.jit, static_argnums=(0, 1))
def _evaluated(evaluate, f, theta, spectrum, a, es):
    """One program for all forms of the same f and shapes, in which f is traced once: derivatives contain many."""
    return evaluate(jax.jit(f), theta, spectrum, a, es)


@partial(form.defjvp, symbolic_zeros=True)
def _form_jvp(evaluate, f, primals, tangents):
    spectrum, theta, a, es = primals
    _, dtheta, da, des = tangents
    out = form(evaluate, f, spectrum, theta, a, es)
    dout = jnp.zeros_like(out)
    if is_live(da):
        dout += _linear_in_slot(evaluate, f, spectrum, theta, a, es, da)
    for s, de in enumerate(des):
        if is_live(de):
            dout += _linear_in_slot(evaluate, f, spectrum, theta, a, es[:s] + es[s + 1 :], de)
    if any(map(is_live, dtheta)):
        dout += _linear_in_theta(evaluate, f, spectrum, theta, a, es, dtheta)
    return out, dout


def _linear_in_slot(evaluate, f, spectrum, theta, a, others, x):
    """D^m f(a)[others, x], linear in x; its transpose puts the cotangent into the place of x."""

    def forward(r, x):
        spectrum, theta, a, others = r
        return form(evaluate, f, spectrum, theta, a, (*others, x))

    def transpose(r, ct):
        out = forward(r, ct.T).T
        return out if jnp.iscomplexobj(x) else out.real

    return linear_map(forward, transpose, (spectrum, theta, a, others), x)


def _linear_in_theta(evaluate, f, spectrum, theta, a, es, dtheta):
    """The form of the directional derivative of f in its parameters, linear in the live ones of `dtheta`."""
    df = _along_parameters(f, tuple(map(is_live, dtheta)))
    dtheta = tuple(filter(is_live, dtheta))

    def forward(r, dtheta):
        spectrum, theta, a, es = r
        return form(evaluate, df, spectrum, (*theta, *dtheta), a, es)

    def transpose(r, ct):
        # One form for each parameter of f; a function of a matrix has few.
        # Not dtheta itself, which is linear.
        flat, unravel = ravel_pytree([jnp.zeros(jnp.shape(t), jnp.result_type(t)) for t in dtheta])
        basis = jnp.eye(flat.size, dtype=flat.dtype)

        def pair(direction):
            along = map(vary_like, unravel(direction), dtheta)
            return jnp.sum(ct * forward(r, tuple(along))).real

        out = jax.lax.map(pair, basis)
        if jnp.iscomplexobj(flat):
            out = jax.lax.complex(out, -jax.lax.map(lambda e: pair(1j * e), basis))
        return tuple(unravel(out))

    return linear_map(forward, transpose, (spectrum, theta, a, es), dtheta)


@lru_cache(maxsize=64)
def _along_parameters(f, live):
    """The directional derivative of f(x, *theta) in those parameters that are live: df(x, *theta, *dtheta)."""
    n = len(live)

    def df(x, *both):
        theta, dtheta = both[:n], iter(both[n:])

        def of_live(*moving):
            moving = iter(moving)
            return f(x, *(next(moving) if m else t for m, t in zip(live, theta)))

        return jax.jvp(of_live, [t for m, t in zip(live, theta) if m], [*dtheta])[1]

    return df


def product(*matrices: Array) -> Array:
    """The product of matrices of one precision, real and complex ones together."""
    dtype = result_type(*matrices)
    return reduce(jnp.matmul, (x.astype(dtype) for x in matrices))


def in_eigenbasis(f: Callable, w: Array, ms: list[Array]) -> Array:
    """The form in the eigenbasis: Σ over orders of `ms` and inner indices of f[w_i, …, w_j] m¹_{i k1} ⋯ m^m_{.. j}."""
    n, m = w.size, len(ms)
    coefficients = taylor_coefficients(f, w, m)
    dtype = result_type(coefficients, *ms)
    ms = [x.astype(dtype) for x in ms]
    rows, columns = jnp.arange(n)[:, None], jnp.arange(n)[None, :]
    if m == 1:
        return divided_difference(coefficients, w, (rows, columns)).astype(dtype) * ms[0]
    orders = list(itertools.permutations(ms))

    def row(path):
        """Sum over the paths that begin with `path`: the last two indices as a matrix, the others in a loop."""
        if len(path) < m - 1:
            return jnp.sum(jax.lax.map(lambda k: row((*path, k)), jnp.arange(n)), axis=0)
        difference = divided_difference(coefficients, w, (*path, rows, columns)).astype(dtype)
        total = 0
        for order in orders:
            weight = math.prod(order[s][path[s], path[s + 1]] for s in range(m - 2))
            total += weight * (order[-2][path[-1]] @ (order[-1] * difference))
        return total

    return jax.lax.map(lambda i: row((i,)), jnp.arange(n))

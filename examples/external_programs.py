"""Programs that JAX cannot see, differentiated: a SciPy spline, a compiled C function, a quantum processor.

Each becomes a JAX function by `pullback.external.primitive`. Their rules are written in JAX in terms of other
primitives, so that every mode and order works; where a program can only be run (no rule at all), see
`FiniteDifference`.
"""

import ctypes
import ctypes.util

import jax
import jax.numpy as jnp
import numpy as np
from scipy.interpolate import CubicSpline

import pullback as pb
from pullback.external import jax_rule, primitive


def spline(curve):
    """A SciPy spline (or its derivative) as a JAX function; the rule is the derivative spline."""
    return primitive(
        curve,
        out=lambda x: jax.ShapeDtypeStruct(x.shape, float),
        jvp=jax_rule(lambda args, tangents: spline(curve.derivative())(*args) * tangents[0]),
        vectorized=True,
    )


def c_function(name):
    """double name(double) of the C library of mathematics."""
    function = getattr(ctypes.CDLL(ctypes.util.find_library("m")), name)
    function.restype, function.argtypes = ctypes.c_double, [ctypes.c_double]
    return function


def bessel(name, derivative):
    return primitive(
        c_function(name),
        out=jax.ShapeDtypeStruct((), float),
        jvp=jax_rule(lambda args, tangents: derivative(*args) * tangents[0]),
    )


j0 = bessel("j0", lambda x: -j1(x))
j1 = bessel("j1", lambda x: j0(x) - j1(x) / x)


def processor(angles):
    """Stands for a machine that prepares a state and measures: three qubits, the energy of a transverse Ising chain."""
    x, z = np.array([[0, 1], [1, 0]]), np.diag([1, -1])

    def on(site, matrix):
        return np.kron(np.kron(np.eye(2**site), matrix), np.eye(2 ** (2 - site)))

    energy = -sum(on(i, z) @ on(i + 1, z) for i in range(2)) - 0.7 * sum(on(i, x) for i in range(3))
    psi = np.zeros(8, complex)
    psi[0] = 1
    for layer in angles.reshape(-1, 3):
        for site, angle in enumerate(layer):  # rotations about y, then controlled sign changes
            psi = (
                on(site, np.array([[np.cos(angle / 2), -np.sin(angle / 2)], [np.sin(angle / 2), np.cos(angle / 2)]]))
                @ psi
            )
        for site in range(2):
            psi = (np.eye(8) - 2 * on(site, (np.eye(2) - z) / 2) @ on(site + 1, (np.eye(2) - z) / 2)) @ psi
    return (psi.conj() @ energy @ psi).real


def parameter_shift(args, tangents):
    """∂E/∂θ_i = (E(θ + π/2 e_i) − E(θ − π/2 e_i)) / 2: more runs of the machine, nothing else."""
    shifts = np.pi / 2 * jnp.eye(args[0].size)
    gradient = (jax.vmap(measured)(args[0] + shifts) - jax.vmap(measured)(args[0] - shifts)) / 2
    return gradient @ tangents[0]


measured = primitive(processor, out=jax.ShapeDtypeStruct((), float), jvp=jax_rule(parameter_shift))


if __name__ == "__main__":
    grid = np.linspace(0, 3, 40)
    potential = spline(CubicSpline(grid, np.exp(-grid)))
    print(f"spline       third derivative of exp(-x) at 1: {jax.grad(jax.grad(jax.grad(potential)))(1.0):.4f}")
    print(f"C function   j0'(1) = {jax.grad(j0)(1.0):.12f}, j0''(1) = {jax.grad(jax.grad(j0))(1.0):.12f}")
    angles = jnp.linspace(0.1, 0.9, 6)
    best = pb.implicit.argmin(measured, angles)
    print(
        f"processor    lowest energy {measured(best):.9f}, largest |gradient| {abs(jax.grad(measured)(best)).max():.1e}"
    )

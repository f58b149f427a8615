"""Unitary flows: flows.propagate against SciPy's solve_ivp and, if they are installed, QuTiP and dynamiqs.

A driven qubit and a driven chain of spins, the same tolerance; errors against a run that is much more accurate; then
the gradient, beside dynamiqs' own.
"""

import time
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from scipy.integrate import solve_ivp

from pullback import flows, lattices

TIMES = np.array([0.0, 20.0])


def problems() -> dict:
    """name -> (H0, H1, initial state): H0 + a cos(1.3 t) H1."""
    x, z = np.array([[0.0, 1.0], [1.0, 0.0]]), np.diag([1.0, -1.0])
    out = {"qubit": (0.55 * z, x, np.array([1.0, 0.0]))}
    ring = lattices.ring(6)
    zz, field = (np.asarray(lattices.SpinModel(ring, {kind: 1.0}).matrix()) for kind in ("zz", "x"))
    out["6 spins"] = -zz, field, np.ones(64) / 8
    return out


def drive(t, a):
    return a * jnp.cos(1.3 * t)


def seconds(run, repeat: int = 5) -> float:
    jax.block_until_ready(run())
    times = []
    for _ in range(repeat):
        start = time.perf_counter()
        jax.block_until_ready(run())
        times.append(time.perf_counter() - start)
    return sorted(times)[repeat // 2]


def peers(h0, h1, psi0) -> dict:
    """name -> function that returns the last state at about 1e-8."""

    def rate(t, y):
        return -1j * (h0 @ y + 0.6 * np.cos(1.3 * t) * (h1 @ y))

    out = {"solve_ivp": lambda: solve_ivp(rate, TIMES, psi0 + 0j, "DOP853", rtol=1e-9, atol=1e-10).y[:, -1]}
    try:
        import qutip  # pyright: ignore[reportMissingImports]

        H = [qutip.Qobj(h0), [qutip.Qobj(h1), lambda t: 0.6 * np.cos(1.3 * t)]]
        state, options = qutip.Qobj(psi0), {"rtol": 1e-9, "atol": 1e-10, "nsteps": 10**6}
        out["QuTiP"] = lambda: qutip.sesolve(H, state, TIMES, options=options).states[-1].full()[:, 0]
    except ImportError:
        pass
    try:
        import dynamiqs  # pyright: ignore[reportMissingImports]

        method = dynamiqs.method.Tsit5(rtol=1e-9, atol=1e-10)

        def end(a):
            H = dynamiqs.constant(h0 + 0j) + dynamiqs.modulated(lambda t: drive(t, a), h1 + 0j)
            found = dynamiqs.sesolve(H, psi0[:, None] + 0j, TIMES, method=method)
            return found.states[-1].to_jax()[:, 0]

        value = jax.jit(end)
        out["dynamiqs"] = lambda: value(0.6)
        slope = jax.jit(jax.grad(lambda a: jnp.abs(end(a)[0]) ** 2))
        out["dynamiqs, gradient"] = lambda: slope(0.6)
    except ImportError:
        pass
    return out


def main() -> None:
    for name, (h0, h1, psi0) in problems().items():
        H = [h0, (h1, drive)]

        def end(a, H=H, psi0=psi0, **options):
            return jnp.asarray(flows.propagate(H, psi0, TIMES, a, **options))[-1]

        exact = end(0.6, method=flows.Magnus(6), rtol=1e-12)
        value = jax.jit(lambda a, end=end: end(a, rtol=1e-8))
        slope = jax.jit(jax.grad(lambda a, end=end: jnp.abs(end(a, rtol=1e-8)[0]) ** 2))
        analysis: Any = slope.lower(0.6).compile().memory_analysis()
        memory = analysis.temp_size_in_bytes
        error = np.abs(np.asarray(value(0.6)) - exact).max()
        for what, program, note in (
            ("ours", value, f"error {error:.0e}"),
            ("ours, gradient", slope, f"{memory} bytes"),
        ):
            print(f"{name:10s} {what:20s} {1e3 * seconds(partial(program, 0.6)):9.2f} ms   {note}")
        for peer, run in peers(h0, h1, psi0).items():
            error = "" if "gradient" in peer else f"   error {np.abs(np.asarray(run()) - exact).max():.0e}"
            print(f"{name:10s} {peer:20s} {1e3 * seconds(run):9.2f} ms{error}")


if __name__ == "__main__":
    main()

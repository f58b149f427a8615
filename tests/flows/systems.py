"""Systems with published or exact solutions."""

import jax.numpy as jnp

LORENZ = 10.0, 28.0, 8 / 3
# |x(T)|² at T = 5 from (1, 1, 1), and its derivatives by x0 and (σ, ρ, β): 50-digit Taylor series.
LORENZ_VALUE = 663.408873431631637
LORENZ_GRADIENT = (
    *(-31.230519906365626, -23.406982596887475, -37.286617594077924),
    *(2.8476039564142037, 22.818673742435843, -745.77616278559425),
)
# |x(T)|² at T = 10 from (2, 0), μ = 5, and its derivatives by x0 and μ: 50-digit Taylor series.
VAN_DER_POL_VALUE = 1.527892880344360
VAN_DER_POL_GRADIENT = 4.7398458303067, 0.31741565108900, 0.88432634306306


def lorenz(t, x, params):
    sigma, rho, beta = params
    return jnp.stack([sigma * (x[1] - x[0]), x[0] * (rho - x[2]) - x[1], x[0] * x[1] - beta * x[2]])


def van_der_pol(t, x, mu):
    return jnp.stack([x[1], mu * (1 - x[0] ** 2) * x[1] - x[0]])


def oscillator(t, y, omega):
    """A driven one: q'' = −ω² q + cos 2t."""
    return {"q": y["v"], "v": -(omega**2) * y["q"] + jnp.cos(2 * t)}


def driven(q0, v0, ts, omega):
    """q(t) with q(ts[0]) = q0, q'(ts[0]) = v0."""
    amplitude = 1 / (omega**2 - 4)
    a, b = q0 - amplitude * jnp.cos(2 * ts[0]), v0 + 2 * amplitude * jnp.sin(2 * ts[0])
    s = ts - ts[0]
    return amplitude * jnp.cos(2 * ts) + a * jnp.cos(omega * s) + b / omega * jnp.sin(omega * s)

"""A forced ring of pendulums by leapfrog: a reversible step with parameters, inputs, outputs and a counter."""

import jax.numpy as jnp


def force(q, u, p):
    return u - p["k"] * jnp.sin(q) + p["c"] * (jnp.roll(q, 1) + jnp.roll(q, -1) - 2 * q)


def leapfrog(state, u, p):
    q, v, count = state
    v = v + p["dt"] / 2 * force(q, u, p)
    q = q + p["dt"] * v
    v = v + p["dt"] / 2 * force(q, u, p)
    return (q, v, count + 1), {"q0": q[0], "count": count}


def leapfrog_back(state, u, p):
    q, v, count = state
    v = v - p["dt"] / 2 * force(q, u, p)
    q = q - p["dt"] * v
    v = v - p["dt"] / 2 * force(q, u, p)
    return q, v, count - 1


def point(steps=20, dt=0.05):
    """(init, xs, params)"""
    q = jnp.linspace(-1.0, 1.0, 4)
    xs = jnp.sin(jnp.linspace(0.0, 3.0, steps))
    return (q, jnp.cos(q), jnp.asarray(0)), xs, {"k": jnp.asarray(1.0), "c": jnp.asarray(0.3), "dt": jnp.asarray(dt)}

"""Inside `jax.shard_map` with JAX's own checks: values and derivatives, of data and of shared parameters."""

import os
import subprocess
import sys

import pytest

PROGRAM = """
import jax, jax.numpy as jnp, numpy as np
from jax.sharding import Mesh, PartitionSpec as P
import pullback as pb
from pullback.implicit import Newton

sine = pb.external.primitive(np.sin, out=lambda z: z, jvp=lambda a, v: np.cos(a[0]) * v[0])

def marked(f):  # what the function of an equation closes over must vary alike
    return lambda p, c: f(pb.core.vary_like(p, c), c)

def newton(p, c):  # each member takes its own number of steps
    a = p * c
    return pb.loops.while_loop(lambda s: jnp.abs(s * s - a) > 1e-12, lambda s: (s + a / s) / 2, 3.0, max_steps=50)

def kicked(p, c):
    step = lambda s, _, q: (s + jnp.sin(p) * q, s * p)
    back = lambda s, _, q: s - jnp.sin(p) * q
    end, seen = pb.loops.reversible_scan(step, back, c, None, p**2, length=4)
    return end + seen.sum()

matrix = lambda c: jnp.array([[c, 0.3, 0.0], [0.3, -c, 0.2], [0.0, 0.2, 1.0]])
programs = {
    "root": marked(lambda p, c: pb.implicit.root(lambda x: x**3 + p * x - c, 1.0)),
    "fixed_point": marked(lambda p, c: pb.implicit.fixed_point(lambda x: jnp.cos(p * x + c), 0.5)),
    "argmin": marked(lambda p, c: pb.implicit.argmin(lambda x: (x - c) ** 2 + p * x**4, 0.0, solver=Newton())),
    "while_loop": marked(newton),
    "reversible_scan": kicked,
    "funmh": lambda p, c: pb.linalg.funmh(matrix(c), lambda x: jnp.exp(p * x))[0, 1],
    "funm": lambda p, c: pb.linalg.funm(matrix(c) + jnp.triu(jnp.ones((3, 3))), lambda x: jnp.exp(p * x))[0, 1].real,
    "density_matrix": lambda p, c: pb.linalg.density_matrix(matrix(c), n_electrons=1.0, temperature=p)[0, 1],
    "jv": lambda p, c: pb.special.jv(1.0, p * c),
    "primitive": lambda p, c: sine(p * c),
}
mesh = Mesh(np.array(jax.devices()), ("i",))
data, p = jnp.linspace(0.2, 1.7, 4), jnp.array(0.7)
for name, f in programs.items():
    members = jax.vmap(f, (None, 0))
    sharded = jax.shard_map(members, mesh=mesh, in_specs=(P(), P("i")), out_specs=P("i"))
    def everything(g):
        total = lambda p, c: jnp.sum(jnp.sin(g(p, c)))
        tangents = jax.jvp(g, (p, data), (jnp.ones_like(p), jnp.cos(data)))
        return tangents, jax.grad(total, (0, 1))(p, data)
    found, right = jax.jit(lambda: everything(sharded))(), jax.jit(lambda: everything(members))()
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-12, err_msg=name), found, right)
    print(name)
"""


@pytest.mark.slow
def test_values_and_derivatives_on_two_devices():
    flags = os.environ.get("XLA_FLAGS", "") + " --xla_force_host_platform_device_count=2"
    env = {**os.environ, "XLA_FLAGS": flags}
    out = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, env=env, check=False)
    assert len(out.stdout.split()) == 10, out.stderr[-3000:]

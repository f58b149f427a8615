"""linear_map against the same function left to plain JAX, in every combination of modes, and its refusals."""

import os
import subprocess
import sys

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from pullback.core import InputError, checks_under_jit, linear_map
from pullback.trust import check_derivatives, directional_derivative

THIRD = ("fwd-fwd-fwd", "fwd-fwd-rev", "fwd-rev-fwd", "rev-fwd-fwd", "fwd-rev-rev", "rev-fwd-rev", "rev-rev-fwd",
         "rev-rev-rev")  # fmt: skip
SECOND = ("fwd-fwd", "fwd-rev", "rev-fwd", "rev-rev")


def ruled(a, x, scale):
    """y = scale · sin(a) x, whose transpose is written by hand; `scale` is closed over."""
    return linear_map(
        lambda r, x: {"y": scale * (jnp.sin(r) @ x["u"]) + x["v"]},
        lambda r, ct: {"u": scale * (jnp.sin(r).T @ ct["y"]), "v": ct["y"]},
        a,
        x,
    )["y"]


def plain(a, x, scale):
    return scale * (jnp.sin(a) @ x["u"]) + x["v"]


def point(dtype):
    rng = np.random.default_rng(0)

    def draw(*shape):
        z = rng.normal(size=shape)
        return jnp.asarray(z + 1j * rng.normal(size=shape) if dtype is complex else z)

    return draw(3, 2), {"u": draw(2), "v": draw(3)}, draw()


@pytest.mark.parametrize(
    ("dtype", "modes"),
    [
        (complex, ("jvp", "vjp", "fwd-rev", "rev-rev")),
        pytest.param(float, ("jvp", "vjp", *SECOND, *THIRD), marks=pytest.mark.slow),
        pytest.param(complex, (*SECOND, *THIRD), marks=pytest.mark.slow),
    ],
)
def test_modes(dtype, modes):
    args = point(dtype)
    rng = np.random.default_rng(1)
    phase = 1 + 0.5j if dtype is complex else 1.0
    directions = [jax.tree.map(lambda a: jnp.asarray(phase * rng.normal(size=a.shape)), args) for _ in range(3)]

    def derivatives(f):
        def loss(args):
            return jnp.sum(jnp.cos(f(*args) * (1 + 0.3j)).real)

        return jax.jit(lambda x: [directional_derivative(loss, x, directions[: m.count("-") + 1], m) for m in modes])(
            args
        )

    np.testing.assert_allclose(derivatives(ruled), derivatives(plain), rtol=1e-12)


@pytest.mark.slow
def test_against_differences():
    check_derivatives(ruled, *point(complex), samples=1, throw=True)


@pytest.mark.parametrize("axes", [(0, None, None), (None, 0, None), (None, None, 0), (0, 0, 0)])
def test_vmap_over_any_argument(axes):
    a, x, s = point(float)
    stack = [jax.tree.map(lambda t: jnp.stack([t, 2 * t]), z) if ax == 0 else z for z, ax in zip((a, x, s), axes)]
    got, want = (jax.vmap(jax.grad(lambda *z, f=f: jnp.sum(f(*z) ** 2)), axes)(*stack) for f in (ruled, plain))
    np.testing.assert_allclose(got, want, rtol=1e-13)


def test_forward_over_forward_of_a_jacobian_with_unmapped_operands():
    """A batching rule is also called when nothing is mapped; answering with a batch axis breaks jacfwd(jacfwd)."""
    a, x, s = point(float)
    got, want = (jax.jacfwd(jax.jacfwd(lambda t, f=f: f(a, x, t) ** 2))(s) for f in (ruled, plain))
    np.testing.assert_allclose(got, want, rtol=1e-13)


def test_the_hand_written_transpose_is_the_one_in_use():
    def wrong(x):
        return linear_map(lambda r, x: r * x, lambda r, ct: 7.0 * ct, 2.0, x)

    assert jax.jvp(wrong, (1.0,), (1.0,))[1] == 2.0
    assert jax.grad(wrong)(1.0) == 7.0
    report = check_derivatives(wrong, 1.0)
    assert report.verdict("jvp") == "ok"
    assert report.verdict("vjp") == "wrong"
    assert report.verdict("jvp=vjp") == "wrong"


def test_a_transpose_of_the_wrong_shape_is_refused():
    with pytest.raises(InputError, match="fun_transpose returns"):
        linear_map(lambda r, x: r @ x, lambda r, ct: ct, jnp.ones((2, 3)), jnp.ones(3))
    with pytest.raises(InputError, match=r"x\['k'\] has dtype int64"):
        linear_map(lambda r, x: x, lambda r, ct: ct, (), {"k": jnp.arange(3)})


def test_a_transpose_that_is_none_is_refused_on_request():
    a = jnp.asarray(np.random.default_rng(0).normal(size=(3, 3)) * (1 + 0.5j))

    def f(r, transpose, check=None):
        return linear_map(lambda r, x: r @ x, transpose, r, jnp.ones(3) * 1j, check=check)

    f(a, lambda r, ct: r.T @ ct, check=True)
    with pytest.raises(InputError, match="not the transpose"):
        f(a, lambda r, ct: r.conj().T @ ct, check=True)  # the adjoint is not the transpose
    with checks_under_jit():
        eqx.filter_jit(f)(a, lambda r, ct: r.T @ ct)
        with pytest.raises(RuntimeError, match="not the transpose"):
            eqx.filter_jit(f)(a, lambda r, ct: r @ ct)
    with pytest.raises(InputError, match="not the transpose"):
        linear_map(lambda r, x: 2 * x + 1, lambda r, ct: 2 * ct, (), jnp.ones(2), check=True)  # affine, not linear


def test_integer_residuals_float0_tangents_and_float32():
    @jax.custom_jvp
    def shifted(a, n):
        return a * 2.0**n, n + 1

    @shifted.defjvp
    def rule(primals, tangents):
        a, n = primals
        da = linear_map(
            lambda n, t: (t[0] * (2.0**n).astype(t[0].dtype), t[1]),
            lambda n, ct: (ct[0] * (2.0**n).astype(ct[0].dtype), ct[1]),
            n,
            tangents,
        )
        return shifted(a, n), da

    def loop(a):
        step = lambda s, _: (shifted(*s), None)  # noqa: E731
        end, _ = jax.lax.scan(jax.checkpoint(step), (a, jnp.asarray(0)), None, length=4)
        return end[0] ** 2

    assert jax.jit(jax.grad(loop))(3.0) == 2 * 3.0 * 2.0**12  # a·2^(0+1+2+3), squared
    assert jax.jit(jax.grad(jax.grad(loop)))(3.0) == 2 * 2.0**12
    single = linear_map(lambda r, x: r * x, lambda r, ct: r * ct, jnp.float32(2), jnp.float32(3))
    assert single.dtype == jnp.float32 and single == 6


def test_inside_scan():
    def loop(f):
        def body(x, _):
            return {"u": x["u"], "v": f(jnp.ones((3, 2)), x, 0.5)}, None

        return lambda u: jnp.sum(jax.lax.scan(body, {"u": u, "v": jnp.ones(3)}, None, length=4)[0]["v"] ** 2)

    u = jnp.array([0.3, -0.2])
    np.testing.assert_allclose(jax.grad(loop(ruled))(u), jax.grad(loop(plain))(u), rtol=1e-13)


SHARDED = """
import jax, jax.numpy as jnp, numpy as np
from jax.sharding import Mesh, PartitionSpec as P
from pullback.core import linear_map

def plain(a, x): return jnp.sin(a) * x
def ruled(a, x): return linear_map(lambda r, x: jnp.sin(r) * x, lambda r, ct: jnp.sin(r) * ct, a, x)
def closing(a, x): return linear_map(lambda r, x: jnp.sin(a) * x, lambda r, ct: jnp.sin(a) * ct, (), x)

mesh = Mesh(np.array(jax.devices()), ("i",))
for specs in ((P("i"), P("i")), (P("i"), P()), (P(), P("i"))):
    z = tuple(jnp.linspace(0.1, 0.8, 4 if spec else 2) for spec in specs)
    def derivatives(f):
        total = lambda a, x: jax.lax.psum(jnp.sum(f(a, x) ** 2, keepdims=True), "i")
        loss = lambda z: jax.shard_map(total, mesh=mesh, in_specs=specs, out_specs=P())(*z)[0]
        return jax.jit(lambda z: jax.jvp(jax.grad(loss), (z,), (z,)))(z)
    for f in (ruled, closing):
        jax.tree.map(np.testing.assert_allclose, derivatives(f), derivatives(plain))
print(len(jax.devices()), "devices")
"""


@pytest.mark.slow
def test_inside_shard_map():
    env = {**os.environ, "XLA_FLAGS": "--xla_force_host_platform_device_count=2", "JAX_ENABLE_X64": "1"}
    out = subprocess.run([sys.executable, "-c", SHARDED], capture_output=True, text=True, env=env, check=False)
    assert out.stdout.strip() == "2 devices", out.stderr

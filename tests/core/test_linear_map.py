"""linear_map against the same function left to plain JAX, in every combination of modes, and its refusals."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from pullback.core import linear_map
from pullback.trust import check_derivatives, directional_derivative

THIRD = ("fwd-fwd-fwd", "fwd-fwd-rev", "fwd-rev-fwd", "rev-fwd-fwd", "fwd-rev-rev", "rev-fwd-rev", "rev-rev-fwd",
         "rev-rev-rev")  # fmt: skip


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


@pytest.mark.parametrize("dtype", [float, complex])
@pytest.mark.parametrize("mode", ["jvp", "vjp", "fwd-fwd", "fwd-rev", "rev-fwd", "rev-rev", *THIRD])
def test_all_modes(dtype, mode):
    args = point(dtype)
    rng = np.random.default_rng(1)
    phase = 1 + 0.5j if dtype is complex else 1.0
    directions = [
        jax.tree.map(lambda a: jnp.asarray(phase * rng.normal(size=a.shape)), args) for _ in range(mode.count("-") + 1)
    ]

    def loss(f):
        return lambda args: jnp.sum(jnp.cos(f(*args) * (1 + 0.3j)).real)

    ours = jax.jit(lambda x: directional_derivative(loss(ruled), x, directions, mode))(args)
    np.testing.assert_allclose(ours, directional_derivative(loss(plain), args, directions, mode), rtol=1e-12)


def test_against_differences():
    check_derivatives(ruled, *point(complex), throw=True)


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
    with pytest.raises(TypeError, match="fun_transpose returns"):
        linear_map(lambda r, x: r @ x, lambda r, ct: ct, jnp.ones((2, 3)), jnp.ones(3))


def test_inside_scan():
    def loop(f):
        def body(x, _):
            return {"u": x["u"], "v": f(jnp.ones((3, 2)), x, 0.5)}, None

        return lambda u: jnp.sum(jax.lax.scan(body, {"u": u, "v": jnp.ones(3)}, None, length=4)[0]["v"] ** 2)

    u = jnp.array([0.3, -0.2])
    np.testing.assert_allclose(jax.grad(loop(ruled))(u), jax.grad(loop(plain))(u), rtol=1e-13)

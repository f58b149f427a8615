"""Inverse problems from the literature and from model potentials: densities to design a potential for.

    notebook        ψ ∝ 1 - |x| for |x| < ½, else 0, on 300 points of [-1, 1) between hard walls (the lecture's)
    johnson-smooth  ψ ∝ 1 + sin(πx + cos 3πx), period 2, 100 points, H = -d²/dx² + V (Johnson's notes, section 5.1)
    johnson-house   ψ ∝ 1 - |x| for |x| < ½, else 0, on the same ring (the same notes)
    morse, double-well, poschl-teller
                    states of -½ d²/dx² + V for V = 10 [(1 - e^{-x})² - 1], x⁴/4 - 2x², -6 sech² x
    henon-heiles    2D, 128² points: V = (x² + y²)/2 + λ (x²y - y³/3), λ = 0.111803, cut at 12 hartree
    double-dot      3D, 32³ points: V = (x² - 1)²/2 + y² + z²/2, two wells

Sources: L. Wang, https://github.com/wangleiphy/ml4p, 5_diffprogram/inverse_schrodinger.ipynb; S. G. Johnson, Notes on
adjoint methods for 18.335, https://math.mit.edu/~stevenj/18.336/adjoint.pdf.
"""

from typing import Literal

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float

from pullback.core import InputError
from pullback.schrodinger._eigenstates import eigenstates
from pullback.schrodinger._grid import Grid
from pullback.schrodinger._kinetic import Scheme, kinetic
from pullback.schrodinger._potentials import DoubleWell, Morse, PoschlTeller
from pullback.schrodinger._product import ProductGrid, product_kinetic

TargetName = Literal[
    "notebook", "johnson-smooth", "johnson-house", "morse", "double-well", "poschl-teller", "henon-heiles", "double-dot"
]

_MODELS = {
    "morse": (Morse(), -2.0, 6.0),
    "double-well": (DoubleWell(), -5.0, 5.0),
    "poschl-teller": (PoschlTeller(), -9.0, 9.0),
}


def _henon_heiles(x: Float[Array, " n"], y: Float[Array, " n"]) -> Float[Array, " n"]:
    return jnp.minimum((x**2 + y**2) / 2 + 0.111803 * (x**2 * y - y**3 / 3), 12.0)


def _double_dot(x: Float[Array, " n"], y: Float[Array, " n"], z: Float[Array, " n"]) -> Float[Array, " n"]:
    return (x**2 - 1) ** 2 / 2 + y**2 + z**2 / 2


_PRODUCTS = {"henon-heiles": (_henon_heiles, 2, 5.0, 128), "double-dot": (_double_dot, 3, 4.0, 32)}


class Target(eqx.Module):
    """Densities on a grid, and what goes with them.

    Attributes:
        grid: the points.
        states: which states the densities belong to, counted from 0.
        densities: one row per state, in 1/bohr; not necessarily normalised.
        start: the potential to start from, in hartree; None to choose one from the densities.
        scheme: the kinetic operator of the source; None to choose one.
        mass: in electron masses.
        potential: the potential that the densities come from, in hartree, where there is one.
    """

    grid: Grid | ProductGrid
    densities: Float[Array, "states n"]
    start: Float[Array, " n"] | None = None
    potential: Float[Array, " n"] | None = None
    states: tuple[int, ...] = eqx.field(default=(0,), static=True)
    scheme: Scheme | None = eqx.field(default=None, static=True)
    mass: float = eqx.field(default=1.0, static=True)


def target(name: TargetName, *, n: int | None = None, states: tuple[int, ...] = (0,)) -> Target:
    """A target by its name.

    Args:
        name: see the top of this module.
        n: number of points; None for the source's own.
        states: which states, for the model potentials; the others are ground states.

    Raises:
        InputError: an excited state of a target that has none.
    """
    if name in _PRODUCTS:
        if states != (0,):
            raise InputError(f"the target {name!r} is a ground state: it has no density for the states {states}")
        model, dimensions, half, points = _PRODUCTS[name]
        product = ProductGrid(dimensions * (Grid.between(-half, half, n or points),))
        _, psi = eigenstates(model, product_kinetic(product, "fd8"), 1)
        values = model(*product.coordinates)
        return Target(product, psi.T**2, potential=values, scheme="fd8")
    if name in _MODELS:
        model, left, right = _MODELS[name]
        grid = Grid.between(left, right, n or 300)
        _, psi = eigenstates(model, kinetic(grid, "sinc"), max(states) + 1)
        return Target(grid, psi.T[jnp.asarray(states)] ** 2, potential=model(grid.x), states=states)
    if states != (0,):
        raise InputError(f"the target {name!r} is a ground state: it has no density for the states {states}")
    if name == "notebook":
        x = jnp.linspace(-1.0, 1.0, n or 300, endpoint=False)
        return Target(Grid(x), _house(x)[None], start=x**2 / 2, scheme="fd2")
    grid = Grid.between(-1.0, 1.0, n or 100, "periodic")
    x = grid.x
    psi_squared = _house(x) if name == "johnson-house" else (1 + jnp.sin(jnp.pi * x + jnp.cos(3 * jnp.pi * x))) ** 2
    return Target(grid, psi_squared[None], start=jnp.zeros_like(x), scheme="fd2", mass=0.5)


def _house(x: Float[Array, " n"]) -> Float[Array, " n"]:
    return jnp.where(jnp.abs(x) < 0.5, 1 - jnp.abs(x), 0.0) ** 2

"""A quantum chemistry program with its own gradient, if it is installed."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from pullback.external import FiniteDifference, primitive

pytestmark = [pytest.mark.slow, pytest.mark.peers]


def test_hartree_fock_energy_gradient_and_hessian():
    pytest.importorskip("pyscf")
    from pyscf import gto, scf

    def solved(positions):  # bohr
        atoms = list(zip("OHH", positions.tolist()))
        mean_field = scf.RHF(gto.M(atom=atoms, unit="bohr", basis="sto-3g", verbose=0))
        mean_field.conv_tol = 1e-13
        mean_field.kernel()
        return mean_field

    energy = primitive(
        lambda positions: solved(positions).e_tot,
        out=jax.ShapeDtypeStruct((), float),
        vjp=lambda args, c: (c * solved(args[0]).nuc_grad_method().kernel(),),
        finite_difference=FiniteDifference(relative_step=1e-3),
    )
    water = jnp.array([[0.0, 0.0, 0.2], [0.0, 1.4, -0.9], [0.0, -1.4, -0.9]])
    mean_field = solved(np.asarray(water))
    assert energy(water) == pytest.approx(mean_field.e_tot, abs=1e-11)
    stretch = jnp.zeros((3, 3)).at[1, 1].set(1.0)
    slope = jax.jvp(energy, (water,), (stretch,))[1]
    difference = (solved(water + 1e-3 * stretch).e_tot - solved(water - 1e-3 * stretch).e_tot) / 2e-3
    assert slope == pytest.approx(difference, abs=1e-6)
    curvature = jax.jvp(jax.grad(energy), (water,), (stretch,))[1][1, 1]
    assert curvature == pytest.approx(mean_field.Hessian().kernel()[1, 1, 1, 1], abs=1e-5)

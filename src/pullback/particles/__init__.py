"""Packings of soft discs: energies, equilibria that can be differentiated, rattlers, contact changes."""

from pullback.particles._discs import SoftDiscs
from pullback.particles._equilibrium import equilibrium, settle
from pullback.particles._mixture import bidisperse, random_positions
from pullback.particles._particle_file import ParticleData, read_particles
from pullback.particles._rattlers import WEAK_CONTACT, contact_numbers, rattlers, release
from pullback.particles._response import Response, next_contact_changes, response

__all__ = [
    # model
    "SoftDiscs",
    "bidisperse",
    "random_positions",
    # equilibria
    "equilibrium",
    "settle",
    # response
    "Response",
    "response",
    "next_contact_changes",
    # rattlers
    "WEAK_CONTACT",
    "contact_numbers",
    "rattlers",
    "release",
    # files
    "ParticleData",
    "read_particles",
]

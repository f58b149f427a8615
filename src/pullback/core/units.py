"""Units: Hartree atomic units in electronic structure, hbar = 1 elsewhere; converters in one place.

Multiply by a constant to go *from* the named unit to atomic units, divide to go back:
`bond = 0.74 * angstrom`, `energy / electronvolt`. Values: CODATA through `scipy.constants`.
"""

from scipy import constants as _c

_hartree_in_joule, _, _ = _c.physical_constants["Hartree energy"]
_bohr_in_metre, _, _ = _c.physical_constants["Bohr radius"]
_time_in_second, _, _ = _c.physical_constants["atomic unit of time"]
_field_in_si, _, _ = _c.physical_constants["atomic unit of electric field"]
_dipole_in_si, _, _ = _c.physical_constants["atomic unit of electric dipole mom."]

hartree = 1.0
electronvolt = _c.electron_volt / _hartree_in_joule
rydberg = 0.5
kelvin = _c.Boltzmann / _hartree_in_joule
joule_per_mole = 1.0 / (_c.Avogadro * _hartree_in_joule)
kilojoule_per_mole = 1e3 * joule_per_mole
kilocalorie_per_mole = 1e3 * _c.calorie * joule_per_mole
inverse_centimetre = _c.Planck * _c.speed_of_light * 100.0 / _hartree_in_joule

bohr = 1.0
angstrom = _c.angstrom / _bohr_in_metre
nanometre = 10.0 * angstrom

femtosecond = 1e-15 / _time_in_second
picosecond = 1e3 * femtosecond

electron_mass = 1.0
dalton = _c.atomic_mass / _c.electron_mass

debye = 1e-21 / _c.speed_of_light / _dipole_in_si
volt_per_metre = 1.0 / _field_in_si
gigapascal = 1e9 * _bohr_in_metre**3 / _hartree_in_joule

__all__ = [
    "angstrom",
    "bohr",
    "dalton",
    "debye",
    "electron_mass",
    "electronvolt",
    "femtosecond",
    "gigapascal",
    "hartree",
    "inverse_centimetre",
    "joule_per_mole",
    "kelvin",
    "kilocalorie_per_mole",
    "kilojoule_per_mole",
    "nanometre",
    "picosecond",
    "rydberg",
    "volt_per_metre",
]

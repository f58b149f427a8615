"""What holds for every experiment."""

import re

import pytest

from pullback.experiments import experiment_names, load_experiment
from pullback.runs._option import options_of


@pytest.mark.parametrize("name", experiment_names())
def test_an_option_that_names_a_file_is_a_path(name):
    """Options of type Path are copied into the run folder; a file that is named otherwise would not be."""
    for option in options_of(load_experiment(name)):
        says_file = re.search(r"^(\w+ )?files? |[.](csv|txt|npz|h5|qasm)\b|\bpath of\b", option.help, re.IGNORECASE)
        named_so = re.search("file|path|input", option.name)
        assert option.is_file or not (says_file or named_so), option.flag
        assert not option.is_file or option.default is None


def test_a_kind_of_file_has_one_name():
    options = [option for name in experiment_names() for option in options_of(load_experiment(name))]
    assert {option.name for option in options if option.is_file} == {
        "hamiltonian",
        "circuit",
        "graph",
        "input",
        "system",
    }


def test_the_files_of_the_experiments_are_known():
    options = [(name, option) for name in experiment_names() for option in options_of(load_experiment(name))]
    files = {(name, option.name) for name, option in options if option.is_file}
    assert files >= {
        ("vqe", "hamiltonian"),
        ("vqe", "circuit"),
        ("trotter-dynamics", "hamiltonian"),
        ("fidelity-susceptibility", "hamiltonian"),
        ("qaoa-maxcut", "graph"),
        ("inverse-schrodinger", "input"),
        ("particle-packing", "input"),
        ("ising-hamiltonian", "input"),
        ("hamiltonian-from-groundstate", "input"),
        ("chaos", "system"),
    }

"""Options: types, ranges, the round trip between text and value, messages."""

import dataclasses
from pathlib import Path
from typing import Literal

import numpy as np
import pytest

from pullback.core import InputError
from pullback.runs import Experiment, option
from pullback.runs._option import options_of


class Base(Experiment):
    citation = "none"

    def prepare(self):
        return None

    def run(self, problem, run):
        raise NotImplementedError

    def plot(self, result):
        raise NotImplementedError


@dataclasses.dataclass(frozen=True, kw_only=True)
class Sample(Base):
    """Every type of option."""

    max_steps: int = option(10, "steps", ge=1)
    tol: float = option(1e-6, "tolerance", gt=0, lt=1)
    periodic: bool = option(False, "boundary")
    label: str = option("a", "label")
    method: Literal["lbfgs", "adam"] = option("lbfgs", "optimiser")
    order: Literal[2, 4, 6] = option(2, "order")
    states: tuple[int, ...] = option((0,), "states", ge=0)
    weights: tuple[float, ...] | None = option(None, "weights")
    input: Path | None = option(None, "file")


OPTIONS = {item.name: item for item in options_of(Sample)}


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        ("max_steps", "25", 25),
        ("max_steps", "1e4", 10_000),
        ("max_steps", "123456789012345678", 123456789012345678),
        ("tol", "1e-9", 1e-9),
        ("periodic", "yes", True),
        ("label", "none", "none"),
        ("method", "adam", "adam"),
        ("order", "4", 4),
        ("states", "0, 2,5", (0, 2, 5)),
        ("states", "", ()),
        ("weights", "1,0.5", (1.0, 0.5)),
        ("weights", "none", None),
        ("input", "a b.csv", Path("a b.csv")),
        ("input", "none", None),
    ],
)
def test_text_becomes_a_value_and_back(name, text, value):
    parsed = OPTIONS[name].parse(text)
    assert parsed == value and type(parsed) is type(value)
    assert OPTIONS[name].parse(OPTIONS[name].format(value)) == value


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("max_steps", "0", "--max-steps: must be >= 1, got 0"),
        ("max_steps", "1.5", "--max-steps: needs an integer, got 1.5"),
        ("max_steps", "many", "--max-steps: needs an integer, got 'many'"),
        ("max_steps", "", "--max-steps: needs an integer, got ''"),
        ("max_steps", "1e999", "--max-steps: needs an integer, got inf"),
        ("tol", "0", "--tol: must be > 0, got 0.0"),
        ("tol", "1", "--tol: must be < 1, got 1.0"),
        ("tol", "nan", "--tol: needs a finite number, got nan"),
        ("tol", "inf", "--tol: needs a finite number, got inf"),
        ("periodic", "maybe", "--periodic: needs true or false, got 'maybe'"),
        ("method", "lbgfs", "--method: needs one of lbfgs, adam, got 'lbgfs'"),
        ("order", "3", "--order: needs one of 2, 4, 6, got '3'"),
        ("states", "0,-1", "--states: must be >= 0, got -1"),
        ("states", "0;1", "--states: needs an integer, got '0;1'"),
        ("input", "", "--input: needs a path, got ''"),
    ],
)
def test_bad_text_is_refused_with_the_name_of_the_option(name, text, message):
    with pytest.raises(InputError) as error:
        OPTIONS[name].parse(text)
    assert str(error.value) == message


def test_values_from_python_are_checked_and_take_the_type_of_the_option():
    sample = Sample(tol=np.float32(0.5), max_steps=np.int64(3), states=[1, 2], input="x.csv")
    assert sample.tol == 0.5 and type(sample.tol) is float
    assert sample.max_steps == 3 and type(sample.max_steps) is int
    assert sample.states == (1, 2) and sample.input == Path("x.csv")
    with pytest.raises(InputError, match="--max-steps: needs an integer, got True"):
        Sample(max_steps=True)
    with pytest.raises(InputError, match="--weights: needs values separated by commas"):
        Sample(weights=1.0)
    with pytest.raises(TypeError):
        Sample(max_step=3)  # pyright: ignore[reportCallIssue]


def test_help_texts():
    assert OPTIONS["tol"].flag == "--tol" and OPTIONS["max_steps"].flag == "--max-steps"
    assert OPTIONS["tol"].describe() == "> 0 and < 1; default: 1e-06"
    assert OPTIONS["method"].metavar == "lbfgs|adam"
    assert OPTIONS["weights"].metavar == "NUMBER,..."
    assert OPTIONS["weights"].describe() == "default: none"


def test_mistakes_of_an_experiment_are_found_when_it_is_written():
    with pytest.raises(TypeError, match="__post_init__ would replace the option checks"):

        class Overrides(Base):
            def __post_init__(self):
                pass

    @dataclasses.dataclass(frozen=True, kw_only=True)
    class Reserved(Base):
        out: str = option("a", "clashes with --out")

    with pytest.raises(TypeError, match="the command itself has --out"):
        Reserved()

    @dataclasses.dataclass(frozen=True, kw_only=True)
    class Unsupported(Base):
        shift: complex = option(1j, "no such option type")

    with pytest.raises(TypeError, match="an option cannot have the type"):
        Unsupported()

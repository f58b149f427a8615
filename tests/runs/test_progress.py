"""The displays: a line now and then in a pipe, a bar in a terminal, nothing when quiet."""

import sys

import pytest
import rich.console

from pullback.runs import Quantity, Result
from pullback.runs._progress import Bar, Lines, Silent, choose_progress


def show_steps(progress):
    progress.say("[begin]")
    with progress.task("fit", 100) as show:
        for step in (0, 50, 100):
            show(step, {"loss": 0.5**step, "gradient_norm": float("nan")})
    progress.say("end")


def test_lines_are_rare_and_the_last_one_is_shown(capsys):
    show_steps(Lines())
    assert capsys.readouterr().out.splitlines() == [
        "[begin]",
        "fit: step 100/100  loss 7.889e-31  gradient_norm nan",
        "end",
    ]


RESULT = Result({}, {"error": Quantity(1e-9, "of [all]", "hartree"), "steps": 3}, False, "raise [max_steps]")


def test_silence(capsys):
    show_steps(Silent())
    Silent().present(RESULT)
    assert capsys.readouterr().out == ""


def test_a_result_is_lines_in_a_pipe_and_a_table_in_a_terminal(capsys, monkeypatch):
    Lines().present(RESULT)
    assert capsys.readouterr().out.splitlines() == str(RESULT).splitlines()
    bar = Bar()
    monkeypatch.setattr(bar, "_console", rich.console.Console(width=80, force_terminal=True, color_system=None))
    bar.present(RESULT)
    lines = [" ".join(line.split()) for line in capsys.readouterr().out.splitlines()]
    assert lines == ["error 1e-09 hartree of [all]", "steps 3", "not converged: raise [max_steps]"]


def test_the_bar_ends_with_the_last_numbers(monkeypatch, capsys):
    class Terminal(rich.console.Console):
        def __init__(self):
            super().__init__(force_terminal=True, width=120, file=sys.stdout)

    monkeypatch.setattr(rich.console, "Console", Terminal)
    show_steps(Bar())
    out = capsys.readouterr().out
    assert "[begin]" in out and "end" in out and "100/100" in out and "loss 7.889e-31" in out


@pytest.mark.parametrize(
    ("quiet", "terminal", "kind"), [(True, True, Silent), (False, False, Lines), (False, True, Bar)]
)
def test_the_display_suits_the_output(monkeypatch, quiet, terminal, kind):
    monkeypatch.setattr(sys.stdout, "isatty", lambda: terminal, raising=False)
    assert type(choose_progress(quiet=quiet)) is kind

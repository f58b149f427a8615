"""CPU seconds of the tests by room, printed after every run: `make test` has twelve minutes on two cores for all rooms.

A plugin of pytest (see conftest.py). Workers of xdist measure, their tests' `user_properties` carry the numbers home.
"""

import os
import time
from collections import Counter
from pathlib import Path

import pytest

BUDGET = {  # CPU seconds of the default run; together 960 for the rooms of today, 60 for each later one
    "flows": 160,
    "linalg": 150,
    "circuits": 130,
    "experiments": 100,
    "krylov": 80,
    "docs": 75,
    "lattices": 60,
    "trust": 60,
    "core": 45,
    "implicit": 35,
    "schrodinger": 30,
}
OTHERS = 90
LATER = 60
KNOWN = {"cli", "elementary", "external", "loops", "particles", "plots", "runs", "special"}  # share `OTHERS`
DEADLINE = time.time() + float(os.environ.get("PULLBACK_STOP_AFTER") or "inf")


def room(nodeid: str) -> str:
    return Path(nodeid.split("::")[0]).parts[1].removeprefix("test_").removesuffix(".py")


def cpu_seconds() -> float:
    """Of this process and of the processes that it has waited for."""
    times = os.times()
    return times.user + times.system + times.children_user + times.children_system


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item):
    item.started = cpu_seconds()
    return (yield)


def pytest_runtest_setup():
    if time.time() > DEADLINE:
        pytest.skip("did not run: time is up")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item, call):
    if call.when == "teardown":
        item.user_properties.append(("cpu", cpu_seconds() - item.started))
    return (yield)


def pytest_terminal_summary(terminalreporter):
    seconds, tests, late = Counter(), Counter(), Counter()
    for reports in terminalreporter.stats.values():
        for report in reports:
            if getattr(report, "when", None) == "teardown":
                seconds[room(report.nodeid)] += dict(report.user_properties).get("cpu", 0.0)
                tests[room(report.nodeid)] += 1
            if getattr(report, "skipped", False) and "time is up" in str(report.longrepr):
                late[room(report.nodeid)] += 1
    if not tests:
        return
    terminalreporter.section("CPU seconds by room")
    for name, used in seconds.most_common():
        budget = BUDGET.get(name, "" if name in KNOWN else LATER)
        note = f"   {late[name]} did not run: time is up" if late[name] else ""
        terminalreporter.write_line(f"{name:14s} {used:7.1f} of {budget!s:>4s}   {tests[name]:4d} tests{note}")
    total = f"{'together':14s} {sum(seconds.values()):7.1f}        {sum(tests.values()):4d} tests"
    terminalreporter.write_line(total + (f"   {sum(late.values())} did not run: time is up" if late else ""))

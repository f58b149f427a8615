"""States over several devices, and over two processes, against one device and dense matrices."""

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def start(*arguments):
    path = os.pathsep.join([str(ROOT), str(ROOT / "src")])
    environment = {**os.environ, "PYTHONPATH": path, "JAX_PLATFORMS": "cpu"}
    command = [sys.executable, str(ROOT / "tests" / "circuits" / "many_devices.py"), *arguments]
    return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


@pytest.mark.slow
def test_eight_devices():
    """All gates, derivatives to second order, what is communicated, and what is refused."""
    output, _ = start().communicate(timeout=900)
    assert "all agree" in output, output[-3000:]


@pytest.mark.slow
def test_two_processes():
    with socket.socket() as s:
        s.bind(("localhost", 0))
        address = f"localhost:{s.getsockname()[1]}"
    both = [start(address, str(number)) for number in range(2)]
    for process in both:
        output, _ = process.communicate(timeout=300)
        assert "all agree" in output, output[-3000:]

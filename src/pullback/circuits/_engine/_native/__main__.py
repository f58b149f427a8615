"""`python -m pullback.circuits._engine._native` compiles the accelerator, as `pullback doctor --build` does."""

import sys

from pullback.circuits._engine._native._build import build

try:
    print(f"Circuits run in C++ on this machine's CPU: {build().name}")
except OSError as error:
    sys.exit(f"Circuits run without C++, somewhat slower: {error}.")

# make demo | test | test-slow [ROOMS="linalg circuits"] | test-peers | bench | lint | docs | setup | lock      (needs Python >= 3.11, pip and make)
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
export JAX_COMPILATION_CACHE_DIR ?= $(CURDIR)/.jax_cache
export JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS ?= 0.2

.PHONY: setup demo test test-slow test-all test-peers bench lint docs lock clean

setup: $(VENV)/.base

# One environment. uv installs the lock in seconds; where uv itself cannot be had, pip installs the same lock.
$(BIN)/python:
	@$(PYTHON) -c 'import sys; v = sys.version_info; v >= (3, 11) or sys.exit(f"pullback needs Python 3.11 or newer; {sys.executable} is {v.major}.{v.minor}. Try: make PYTHON=python3.12")'
	$(PYTHON) -m venv $(VENV)
	-$(BIN)/python -m pip install -q --require-hashes -r requirements/uv.txt

define install
	@if $(BIN)/uv --version >/dev/null 2>&1; then \
	  VIRTUAL_ENV=$(VENV) $(BIN)/uv pip install -q --require-hashes -r $(1); \
	else \
	  $(BIN)/python -m pip install -q --require-hashes -r $(1); \
	fi
endef

$(VENV)/.base: requirements/base.txt pyproject.toml | $(BIN)/python
	$(call install,requirements/base.txt)
	$(BIN)/python -m pip install -q --no-deps --no-build-isolation -e .
	-@$(BIN)/pullback doctor --build
	@touch $@

$(VENV)/.dev: requirements/dev.txt $(VENV)/.base
	$(call install,requirements/dev.txt)
	@touch $@

demo: setup
	$(BIN)/pullback run inverse-schrodinger

PYTEST := $(BIN)/python -m pytest -n 2 --dist worksteal

test: setup
	$(PYTEST)
	PULLBACK_OPTIMISED=1 $(PYTEST) -m "optimised and not slow"

# All slow tests, or those of some rooms (the folders of tests/, and docs).
test-slow: setup
	$(PYTEST) -m slow $(foreach room,$(ROOMS),$(wildcard tests/$(room) tests/test_$(room).py)) || [ $$? -eq 5 ]

test-all: test test-slow

# The tests beside other packages (Qiskit, qulacs, PySCF), which are installed into the environment first.
test-peers: setup
	$(call install,requirements/peers.txt)
	$(PYTEST) -m peers

bench: setup
	$(BIN)/python -m benchmarks

lint: $(VENV)/.dev
	$(BIN)/ruff check src tests benchmarks examples docs
	$(BIN)/basedpyright

docs: $(VENV)/.dev
	$(BIN)/python docs/build.py

# The locks: one resolution for every supported Python, no index addresses.
COMPILE = $(BIN)/uv pip compile -q --universal --python-version 3.11 --fork-strategy requires-python \
	--generate-hashes --no-emit-index-url --no-emit-find-links --no-header
lock: | $(BIN)/python
	$(COMPILE) requirements/uv.in -o requirements/uv.txt
	$(COMPILE) --extra test pyproject.toml requirements/build.in -o requirements/base.txt
	$(COMPILE) --extra dev --extra docs -c requirements/base.txt pyproject.toml requirements/build.in -o requirements/dev.txt
	$(COMPILE) --extra peers -c requirements/base.txt pyproject.toml -o requirements/peers.txt

clean:
	rm -rf $(VENV) .jax_cache .pytest_cache .ruff_cache .hypothesis site build dist

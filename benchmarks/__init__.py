"""Benchmarks against the peers that people use. `python -m benchmarks [name …]`, or `make bench`."""

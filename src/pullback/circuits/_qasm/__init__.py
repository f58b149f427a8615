"""OpenQASM 2 and 3: read to blocks, measurements and resets, and written from circuits."""

from pullback.circuits._qasm._read import qasm_includes, read_qasm
from pullback.circuits._qasm._write import write_qasm

__all__ = ["qasm_includes", "read_qasm", "write_qasm"]

"""Runs all benchmarks, or those named on the command line, one process each."""

import subprocess
import sys
from pathlib import Path

known = sorted(p.stem for p in Path(__file__).parent.glob("[!_]*.py"))
names = sys.argv[1:] or known
if unknown := set(names) - set(known):
    sys.exit(f"no benchmark {', '.join(sorted(unknown))}; known: {', '.join(known)}")
for name in names:
    print(f"== {name}", flush=True)
    subprocess.run([sys.executable, "-m", f"benchmarks.{name}"], check=True)

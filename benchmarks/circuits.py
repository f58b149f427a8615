"""Gradients of the headline circuit here, in qulacs and in PennyLane-Catalyst: CPU seconds on one core, seconds on all.

The others live in an environment of their own: `pip install qulacs pennylane pennylane-catalyst` there, and set
PULLBACK_PEERS to its Python interpreter. Without it only our own figures are measured.
"""

import json
import os
import statistics
import subprocess
import sys
from pathlib import Path

_WORKER = Path(__file__).with_name("_circuit_worker.py")
_RUNS = 5


class Worker:
    """A simulator that is ready to run one task, in a process of its own."""

    def __init__(self, python: str, *task: str, cores: str = "one"):
        self.process = subprocess.Popen(
            [python, str(_WORKER), *task],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=os.environ | {"BENCHMARK_CORES": cores},
        )
        self.facts = self._line()
        self.seconds: list[float] = []

    def _line(self):
        for line in self.process.stdout or ():
            if line.startswith("{"):
                return json.loads(line)
        raise SystemExit(f"the worker {' '.join(self.process.args)} failed")

    def run(self) -> None:
        assert self.process.stdin
        print(file=self.process.stdin, flush=True)
        found = self._line()
        self.seconds.append(found["seconds"])
        self.facts["peak_MB"] = found["peak_MB"]

    def close(self) -> float:
        """Ends the process; the median of its seconds."""
        self.process.communicate()
        return statistics.median(self.seconds)


def compare(n: int, depth: int, simulators: dict[str, str], cores: str = "one") -> None:
    """One row for each simulator, of alternating runs."""
    task = "gradient", str(n), str(depth)
    workers = {name: Worker(python, name, *task, cores=cores) for name, python in simulators.items()}
    norms = [w.facts["norm"] for w in workers.values()]
    assert max(norms) - min(norms) < 1e-8 * max(norms), norms
    for _ in range(_RUNS):
        for worker in workers.values():
            worker.run()
    medians = {name: worker.close() for name, worker in workers.items()}
    gates, used = (4 * depth + 1) * n, "one core" if cores == "one" else "all cores"
    for name, worker in workers.items():
        facts = "  ".join(f"{k} {v:.1f}" for k, v in worker.facts.items() if k != "norm")
        ratio = medians[name] / medians["pullback"]
        print(
            f"n = {n}, depth {depth}, gradient, {used}  {name:9s} {medians[name]:8.3f} s  "
            f"{1e6 * medians[name] / gates:8.2f} us/gate  {ratio:6.2f} times ours   {facts}",
            flush=True,
        )


def alone(task: str, n: int, depth: int, dtype: str = "float64") -> float:
    """One of our other tasks."""
    worker = Worker(sys.executable, "pullback", task, str(n), str(depth), dtype)
    for _ in range(3):
        worker.run()
    seconds = worker.close()
    facts = "  ".join(f"{k} {v:.1f}" for k, v in worker.facts.items() if k != "norm")
    print(f"n = {n}, depth {depth}, {task} in {dtype}: {seconds:.3f} CPU s   {facts}", flush=True)
    return seconds


def main() -> None:
    """Ratios theirs / ours: medians of alternating runs."""
    simulators = {"pullback": sys.executable}
    if peers := os.environ.get("PULLBACK_PEERS"):
        simulators |= {"qulacs": peers, "catalyst": peers}
    for n, depth in ((10, 10_000), (16, 20), (20, 5)):
        compare(n, depth, simulators)
    for n, depth in ((16, 20), (20, 5)):
        compare(n, depth, simulators, "all")
    gradient = alone("gradient", 10, 10_000)
    alone("gradient", 10, 10_000, "float32")
    alone("forward", 10, 10_000)
    print(f"Hessian-vector product / gradient: {alone('hvp', 10, 10_000) / gradient:.2f}")
    print(f"batch of 32 / 32 gradients: {alone('batch', 10, 1000) / alone('gradient', 10, 1000) / 32:.2f}")


if __name__ == "__main__":
    main()

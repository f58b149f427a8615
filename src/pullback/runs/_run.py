"""The one loop that every experiment goes through.

A loop is a pure map `advance(state, n)` that takes at most `n` steps. Because the result does not depend on
how the steps are cut into chunks, the runner is free to cut them by the clock: short enough for a live
display and a prompt Ctrl-C, long enough to cost nothing. Between chunks it reports, writes metrics and saves
checkpoints; a resumed loop starts from the last checkpoint and passes through the same states, bit for bit.
"""

import datetime
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp

from pullback.runs._checkpoint import Checkpoint, DamagedCheckpoint, load_checkpoint, save_checkpoint
from pullback.runs._files import CONFIG, FIGURE, LOG, METRICS, RESULT, append, require_space, write_atomically
from pullback.runs._metrics import Metrics
from pullback.runs._pace import Pace
from pullback.runs._progress import Progress, Silent
from pullback.runs._result import Result
from pullback.runs._signals import Interrupted, StopSignal


class Run:
    """What an experiment's `run` is handed: a log, and loops that can be resumed.

    `Run.null()` makes one for notebooks and tests, which writes and shows nothing.

    Attributes:
        folder: the run folder, or None.
    """

    def __init__(self, folder: Path | None, *, progress: Progress, stop: StopSignal):
        self.folder = folder
        self._progress = progress
        self._stop = stop
        self._metrics = Metrics(None if folder is None else folder / METRICS)
        self._loops: set[str] = set()
        self._live = False  # whether this process has gone past the saved states of an interrupted one

    @classmethod
    def null(cls) -> "Run":
        """A run without a folder: nothing is written, nothing is shown."""
        return cls(None, progress=Silent(), stop=StopSignal())

    def log(self, text: str) -> None:
        """Appends `text` to `log.txt` and shows it (unless the run is quiet)."""
        self.note(text)
        self._progress.say(text)

    def present(self, result: Result) -> None:
        """Appends the summary of a result to `log.txt` and shows it."""
        self.note(str(result))
        self._progress.present(result)

    def note(self, text: str) -> None:
        """Appends `text` to `log.txt` only."""
        if self.folder is not None:
            stamp = datetime.datetime.now().strftime("%Y-%m-%d %H:%M:%S")
            append(self.folder / LOG, "".join(f"{stamp}  {line}\n" for line in text.splitlines()))

    def write(self, name: str, text: str) -> None:
        """Writes a file of the experiment's own into the run folder, whole or not at all."""
        if name in (CONFIG, RESULT, FIGURE, LOG, METRICS) or Path(name).name != name or name.startswith("."):
            raise ValueError(f"{name!r} is not a name for a file of an experiment")
        if self.folder is not None:
            write_atomically(self.folder / name, text.encode())

    def loop(
        self,
        name: str,
        state: Any,
        advance: Callable[[Any, jax.Array], Any],
        *,
        max_steps: int,
        report: Callable[[Any], Mapping[str, float]],
        done: Callable[[Any], bool],
        chunk: int | None = None,
    ) -> Any:
        """Advances `state` until `done(state)` or until its step reaches `max_steps`.

        Args:
            name: of the loop, in the display, the metrics and the checkpoint's file name; each loop of a run
                has its own.
            state: pytree of arrays (an `equinox.Module` will do) with an integer attribute or entry `step`.
            advance: `advance(state, n)` takes at most `n` steps, fewer if it is done before. It should be
                compiled; `n` is an integer array, so one compilation serves all chunks. The states it passes
                through must not depend on how the steps are cut into chunks.
            max_steps: bound on the number of steps.
            report: the numbers to show and to write to `metrics.jsonl`, read between chunks.
            done: whether the loop has ended, read between chunks.
            chunk: a fixed number of steps per chunk; by default a few chunks a second.

        Returns:
            The final state.

        Raises:
            InputError: the folder cannot be written, or holds the checkpoint of a different program.
            Interrupted: a signal asked to stop; the state is saved.
        """
        if name in self._loops or not re.fullmatch(r"[\w-]+", name):
            raise ValueError(f"loop {name!r}: every loop of a run needs a name of its own, of letters, digits, - and _")
        self._loops.add(name)
        state = _strong(state)
        path = None if self.folder is None else self.folder / f"checkpoint-{name}.npz"
        saved = self._restore(path, state)
        if saved is not None:
            state = saved.state
            self._metrics.length = saved.metrics_length
            if saved.finished:
                return state
            self.log(f"{name}: continued from step {_step(state)}")
        self._go_live(path, state)

        pace = Pace(chunk)
        with self._progress.task(name, max_steps) as show, self._stop.deferred():
            fresh = saved is None
            while True:
                step = _step(state)
                finished = step >= max_steps or bool(done(state))
                if fresh:
                    metrics = {key: float(value) for key, value in report(state).items()}
                    show(step, metrics)
                    self._metrics.write({"loop": name, "step": step, **metrics})
                if path is not None and (finished or self._stop.requested or pace.save_due()):
                    with pace.saving():
                        self._metrics.sync()
                        save_checkpoint(path, Checkpoint(state, finished, self._metrics.length))
                if self._stop.requested:
                    raise Interrupted(f"{name} stopped at step {step}")
                if finished:
                    return state
                with pace.advancing():
                    state = jax.block_until_ready(_strong(advance(state, jnp.asarray(pace.steps(max_steps - step)))))
                if _step(state) == step and not done(state):
                    raise RuntimeError(f"loop {name!r}: advance() took no step at step {step}, and is not done")
                fresh = True

    def _restore(self, path: Path | None, like: Any) -> Checkpoint | None:
        """The checkpoint to continue from. What follows a loop that computed is computed again."""
        if path is None or self._live:
            return None
        try:
            return load_checkpoint(path, like)
        except DamagedCheckpoint as error:
            self.log(f"{path.name} is damaged ({error}): starting this loop again")
            return None

    def _go_live(self, path: Path | None, state: Any) -> None:
        """From here on this process computes: what an interrupted one wrote beyond this point is removed."""
        if path is None:
            return
        if not self._live:
            kept = {f"checkpoint-{name}.npz" for name in self._loops}
            for stale in path.parent.glob("checkpoint-*.npz"):
                if stale.name not in kept:
                    stale.unlink()
            self._live = True
        self._metrics.cut()
        require_space(path.parent, 4 * sum(leaf.nbytes for leaf in jax.tree.leaves(state)))


def _strong(state: Any) -> Any:
    """The state with arrays for leaves, none of them weakly typed: checkpoints do not keep that."""

    def strong(leaf: Any) -> jax.Array:
        if isinstance(leaf, jax.Array) and not getattr(leaf, "weak_type", False):  # random keys have none
            return leaf
        try:
            return jnp.asarray(leaf, dtype=jnp.asarray(leaf).dtype)
        except (TypeError, ValueError):
            raise TypeError(f"the state of a loop holds arrays only, got a leaf {leaf!r}") from None

    return jax.tree.map(strong, state)


def _step(state: Any) -> int:
    return int(state["step"] if isinstance(state, Mapping) else state.step)

"""What the user sees of a run: a bar and a table in a terminal, plain lines in a pipe, or nothing."""

import contextlib
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Protocol, runtime_checkable

from pullback.runs._result import Result

Show = Callable[[int, Mapping[str, float]], None]

_LINE_EVERY = 3.0  # seconds between the lines of a piped run


@runtime_checkable
class Progress(Protocol):
    """Shows lines of text and the progress of one loop at a time."""

    def say(self, text: str) -> None:
        """Shows a line of text."""
        ...

    def present(self, result: Result) -> None:
        """Shows the summary of a result."""
        ...

    def task(self, name: str, max_steps: int) -> contextlib.AbstractContextManager[Show]:
        """A context in which `show(step, metrics)` reports the loop `name`."""
        ...


class Silent:
    """Shows nothing."""

    def say(self, text: str) -> None:
        del text

    def present(self, result: Result) -> None:
        del result

    @contextlib.contextmanager
    def task(self, name: str, max_steps: int) -> Iterator[Show]:
        del name, max_steps
        yield lambda _step, _metrics: None


class Lines:
    """Plain lines, for files and pipes."""

    def __init__(self):
        self._heard = True

    def say(self, text: str) -> None:
        if self._heard:
            try:
                print(text, flush=True)
            except OSError:  # nobody reads any more, as behind `| head`: the run goes on
                self._heard = False

    def present(self, result: Result) -> None:
        self.say(str(result))

    @contextlib.contextmanager
    def task(self, name: str, max_steps: int) -> Iterator[Show]:
        shown_at, last, pending = time.monotonic(), "", False

        def show(step: int, metrics: Mapping[str, float]) -> None:
            nonlocal shown_at, last, pending
            last, pending = f"{name}: step {step}/{max_steps}  {_format(metrics)}", True
            if time.monotonic() - shown_at >= _LINE_EVERY:
                self.say(last)
                shown_at, pending = time.monotonic(), False

        try:
            yield show
        finally:
            if pending:
                self.say(last)


class Bar:
    """A progress bar, for terminals."""

    def __init__(self):
        from rich.console import Console  # heavy, and not needed for listing experiments

        self._console = Console()

    def say(self, text: str) -> None:
        self._console.print(text, markup=False, highlight=False, soft_wrap=True)

    def present(self, result: Result) -> None:
        from rich.table import Table
        from rich.text import Text

        table = Table(box=None, show_header=False, pad_edge=False)
        for style in ("cyan", "bold", "dim"):
            table.add_column(style=style, overflow="fold")
        for row in result.rows():
            table.add_row(*map(Text, row))
        self._console.print(table)
        if not result.converged:
            self._console.print(Text(f"not converged: {result.message}", style="red"), soft_wrap=True)

    @contextlib.contextmanager
    def task(self, name: str, max_steps: int) -> Iterator[Show]:
        from rich import progress

        columns = (
            progress.TextColumn("{task.description}"),
            progress.BarColumn(bar_width=30),
            progress.MofNCompleteColumn(),
            progress.TextColumn("{task.fields[metrics]}"),
            progress.TimeElapsedColumn(),
        )
        with progress.Progress(*columns, console=self._console) as bar:
            task = bar.add_task(name, total=max_steps, metrics="")
            yield lambda step, metrics: bar.update(task, completed=step, metrics=_format(metrics))
            bar.update(task, total=bar.tasks[task].completed)  # ended, perhaps early: the bar is full


def choose_progress(*, quiet: bool) -> Progress:
    """The progress display that suits the standard output."""
    if quiet:
        return Silent()
    return Bar() if sys.stdout is not None and sys.stdout.isatty() else Lines()


def _format(metrics: Mapping[str, float]) -> str:
    return "  ".join(f"{name} {value:.3e}" for name, value in metrics.items())

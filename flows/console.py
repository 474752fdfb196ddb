"""What a person sees during `fewlayers run`: progress bars on a terminal, plain lines elsewhere."""

import threading
import time
from collections.abc import Callable
from typing import Final, Protocol

from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TaskID, TextColumn, TimeElapsedColumn

from flows.progress import is_dvc_chatter, parse_progress

QUIET_STATES: Final = frozenset({"Cached", "NotReady"})
PLAIN_SECONDS: Final = 20.0  # between two progress lines of one piece of work, off a terminal


class Listener(Protocol):
    """Told what happens to each stage, from several threads."""

    def started(self, stage: str) -> None:
        """A stage begins to run."""

    def said(self, stage: str, line: str) -> None:
        """A stage printed a line."""

    def finished(self, stage: str, state: str, seconds: float, message: str) -> None:
        """A stage ended in a state such as Completed, Restored, Cached or Failed."""


class Silent:
    """Shows nothing: the Prefect logs and UI tell; final."""

    def started(self, stage: str) -> None:
        """Nothing."""

    def said(self, stage: str, line: str) -> None:
        """Nothing."""

    def finished(self, stage: str, state: str, seconds: float, message: str) -> None:
        """Nothing."""


class Plain:
    """One line per event, progress lines now and then; cached stages are only counted; final."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        """Starts with no stage seen; `clock` tells seconds."""
        self._guard = threading.Lock()
        self._clock = clock
        self._told: dict[str, float] = {}  # piece of work: when its progress was last told

    def started(self, stage: str) -> None:
        """Says that the stage runs."""
        self._print(f"{stage}: running")

    def said(self, stage: str, line: str) -> None:
        """Repeats the stage's own lines; DVC's, and most of the progress, are left to the log."""
        if not is_dvc_chatter(line) and self._is_due(line):
            self._print(f"{stage} | {line}")

    def finished(self, stage: str, state: str, seconds: float, message: str) -> None:
        """Says how the stage ended, unless it was up to date."""
        if state not in QUIET_STATES:
            self._print(outcome_line(stage, state, seconds, message))

    def _is_due(self, line: str) -> bool:
        step, now = parse_progress(line), self._clock()
        if step is None or step.done >= step.total:
            return True
        if now - self._told.get(step.what, float("-inf")) < PLAIN_SECONDS:
            return False
        self._told[step.what] = now
        return True

    def _print(self, line: str) -> None:
        with self._guard:
            print(line, flush=True)


class Bars:
    """A bar per running stage, finished ones in lines above; use as a context manager; final."""

    def __init__(self, console: Console) -> None:
        """`console` must be a terminal."""
        self._progress = Progress(
            SpinnerColumn(),
            TextColumn("{task.description}", markup=False),
            BarColumn(bar_width=24),
            TextColumn("{task.percentage:>3.0f}%"),
            TimeElapsedColumn(),
            TextColumn("{task.fields[note]}", markup=False),
            console=console,
        )
        self._bars: dict[str, TaskID] = {}

    def __enter__(self) -> "Bars":
        self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._progress.stop()

    def started(self, stage: str) -> None:
        """Adds the stage's bar."""
        self._bars[stage] = self._progress.add_task(stage, total=None, note="")

    def said(self, stage: str, line: str) -> None:
        """Moves the bar on a progress line; shows any other line beside it."""
        if is_dvc_chatter(line):
            return
        bar, step = self._bars[stage], parse_progress(line)
        if step is None:
            self._progress.update(bar, note=line[:60])
        else:
            self._progress.update(bar, completed=step.done, total=step.total, note=step.text[:60])

    def finished(self, stage: str, state: str, seconds: float, message: str) -> None:
        """Takes the bar away and leaves a line."""
        bar = self._bars.pop(stage, None)
        if bar is not None:
            self._progress.remove_task(bar)
        if state not in QUIET_STATES:
            line = outcome_line(stage, state, seconds, message)
            self._progress.console.print(line, markup=False, highlight=False)


def outcome_line(stage: str, state: str, seconds: float, message: str) -> str:
    """How one stage ended, in one line."""
    reason = f": {message}" if state in {"Failed", "Crashed"} else ""
    return f"{stage}: {state.lower()} after {seconds:.1f} s{reason}"


_listener: Listener = Silent()


def listen(listener: Listener) -> None:
    """Sends this process's stage events to `listener` from now on."""
    global _listener
    _listener = listener


def listener() -> Listener:
    """Who is told about stages now."""
    return _listener

"""Child processes that end when the run ends, and what their last lines say of a failure."""

import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import IO, Any, Final, NoReturn

from flows.child import GRACE_SECONDS
from flows.errors import StoppedError

CHILD: Final = Path(__file__).with_name("child.py")
STAGE_ERROR: Final = re.compile(r"^error: (?P<reason>.+)$")
PYTHON_ERROR: Final = re.compile(r"^(?P<reason>[A-Za-z_][\w.]*(Error|Exception|Interrupt)\b.*)$")
DVC_ERROR: Final = re.compile(r"^ERROR: (?P<reason>.+)$")

_guard = threading.RLock()  # a signal handler may need it while its thread holds it
_running: set["Child"] = set()
_stopping = threading.Event()


class Child:
    """One running command, with everything it starts; final."""

    def __init__(
        self,
        command: Sequence[str],
        *,
        folder: Path,
        environment: Mapping[str, str],
        output: IO[Any] | None = None,
    ) -> None:
        """Starts the command in a session of its own.

        Args:
            command: program and arguments; no shell is involved.
            folder: the working folder.
            environment: all environment variables.
            output: takes stdout and stderr; without it `lines` yields them.
        """
        self._process = subprocess.Popen(
            # -I keeps flows/ itself off the import path: its dvc.py is not the package
            [sys.executable, "-I", str(CHILD), str(os.getpid()), *command],
            cwd=folder,
            env=dict(environment),
            stdin=subprocess.DEVNULL,
            stdout=output or subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            start_new_session=True,
        )

    def lines(self) -> Iterator[str]:
        """The output line by line, as it comes."""
        if self._process.stdout is not None:
            with self._process.stdout as stream:
                for line in stream:
                    yield line.rstrip()

    def is_running(self) -> bool:
        """True until the command has ended."""
        return self._process.poll() is None

    def wait(self) -> int:
        """Waits for the end; returns the exit status."""
        return self._process.wait()

    def terminate(self) -> None:
        """Asks the command and everything below it to end; does not wait."""
        if self.is_running():
            self._process.send_signal(signal.SIGTERM)

    def stop(self) -> None:
        """Ends the command and everything below it, by force after the grace."""
        self.terminate()
        try:
            self._process.wait(2 * GRACE_SECONDS + 5)  # more than `stop_descendants` may take
        except subprocess.TimeoutExpired:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()


def run(
    command: Sequence[str],
    *,
    folder: Path,
    environment: Mapping[str, str],
    on_line: Callable[[str], None],
) -> int:
    """Runs a command to its end; returns its exit status.

    Raises:
        StoppedError: `stop_all` was called before or meanwhile.
    """
    with _guard:
        if _stopping.is_set():
            raise StoppedError("stopped before it started")
        child = Child(command, folder=folder, environment=environment)
        _running.add(child)
    try:
        for line in child.lines():
            on_line(line)
        status = child.wait()
    except BaseException:
        child.stop()
        raise
    finally:
        with _guard:
            _running.discard(child)
    if status and _stopping.is_set():
        raise StoppedError("stopped with the run")
    return status


def begin() -> None:
    """Allows `run` again after a `stop_all` of an earlier flow in this process."""
    _stopping.clear()


def stop_all() -> None:
    """Ends every command that `run` has at work and refuses new ones until `begin`."""
    for child in _ask_all():
        child.stop()


def _ask_all() -> list[Child]:
    _stopping.set()
    with _guard:
        children = list(_running)
    for child in children:
        child.terminate()
    return children


def interrupt(_number: int, _frame: object) -> NoReturn:
    """A handler that makes a signal end the process as Ctrl-C does, what was begun undone."""
    raise KeyboardInterrupt


@contextmanager
def ended_by_signals() -> Iterator[None]:
    """Inside, Ctrl-C and SIGTERM end every command that `run` has at work.

    Python drops an exception that a signal handler raises inside a callback of a library or a
    finalizer (KeyboardInterrupt, Prefect's TerminationSignal); without its commands the run ends
    all the same. Leaves alone a signal that has no handler (SIGINT of a process started in the
    background), and does nothing outside the main thread.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    former = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    taken = {number: handler for number, handler in former.items() if callable(handler)}

    def end(number: int, frame: FrameType | None) -> None:
        _ask_all()
        taken[signal.Signals(number)](number, frame)

    for number in taken:
        signal.signal(number, end)
    try:
        yield
    finally:
        for number, handler in taken.items():
            signal.signal(number, handler)


def failure_reason(lines: list[str], status: int) -> str:
    """The most telling line of a failed stage's output.

    Args:
        lines: the last lines that the stage and DVC printed.
        status: the exit status, named when no line tells more.
    """
    for pattern in (STAGE_ERROR, PYTHON_ERROR, DVC_ERROR):
        for line in reversed(lines):
            if found := pattern.match(line):
                return found["reason"]
    return f"exit status {status}"

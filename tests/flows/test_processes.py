"""Children end with whoever asked for them, with all they started; a failure has one reason."""

import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from flows import processes
from flows.errors import StoppedError
from flows.processes import CHILD, Child

STUBBORN = (
    "import signal, subprocess, sys, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); "
    "print('ready', flush=True); time.sleep(600)"
)
NESTED = (
    "import subprocess, sys; "
    "p = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)'], "
    "start_new_session=True); print(p.pid, flush=True); p.wait()"
)


@pytest.fixture(autouse=True)
def _begin() -> Iterator[None]:
    processes.begin()
    yield
    processes.begin()


def gone(pid: int, seconds: float = 20) -> bool:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE:
            return True
        time.sleep(0.05)
    return False


def test_output_comes_line_by_line_with_the_exit_status(tmp_path: Path) -> None:
    lines: list[str] = []
    code = "import sys; print('one'); print('two', file=sys.stderr); sys.exit(7)"
    status = processes.run(
        [sys.executable, "-c", code], folder=tmp_path, environment=os.environ, on_line=lines.append
    )
    assert status == 7
    assert sorted(lines) == ["one", "two"]


def test_death_by_signal_gives_128_plus_its_number(tmp_path: Path) -> None:
    code = "import os; os.kill(os.getpid(), 9)"
    status = processes.run(
        [sys.executable, "-c", code], folder=tmp_path, environment=os.environ, on_line=print
    )
    assert status == 128 + 9


def test_stopped_child_takes_its_own_children_along(tmp_path: Path) -> None:
    child = Child([sys.executable, "-c", NESTED], folder=tmp_path, environment=os.environ)
    nested = int(next(child.lines()))
    assert child.is_running()
    child.stop()
    assert not child.is_running()
    assert gone(nested)


def test_a_burst_of_signals_takes_everything_along_too(tmp_path: Path) -> None:
    for _ in range(5):
        child = Child([sys.executable, "-c", NESTED], folder=tmp_path, environment=os.environ)
        nested = int(next(child.lines()))
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP) * 20:
            child._process.send_signal(number)
        assert child.wait() == 143
        assert gone(nested)


def test_child_that_ignores_sigterm_is_killed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    quick = tmp_path / "child.py"
    quick.write_text(CHILD.read_text().replace("GRACE_SECONDS = 10.0", "GRACE_SECONDS = 0.3"))
    monkeypatch.setattr(processes, "CHILD", quick)
    child = Child([sys.executable, "-c", STUBBORN], folder=tmp_path, environment=os.environ)
    assert next(child.lines()) == "ready"
    child.stop()
    assert not child.is_running()


def test_killed_parent_leaves_nothing(tmp_path: Path) -> None:
    code = (
        "import os, sys; from pathlib import Path; from flows.processes import Child; "
        f"c = Child([sys.executable, '-c', {NESTED!r}], folder=Path('.'), environment=os.environ); "
        "print(next(c.lines()), flush=True); c.wait()"
    )
    parent = subprocess.Popen(
        [sys.executable, "-c", code],
        cwd=Path(__file__).parents[2],
        stdout=subprocess.PIPE,
        text=True,
    )
    assert parent.stdout is not None
    nested = int(parent.stdout.readline())
    below = psutil.Process(parent.pid).children(recursive=True)
    assert len(below) == 3
    parent.send_signal(signal.SIGKILL)
    parent.communicate(timeout=20)
    assert gone(nested)
    assert all(gone(process.pid) for process in below)


def test_stop_all_refuses_new_children_until_begin(tmp_path: Path) -> None:
    processes.stop_all()
    with pytest.raises(StoppedError, match=r"^stopped before it started$"):
        processes.run(["true"], folder=tmp_path, environment=os.environ, on_line=print)
    processes.begin()
    assert processes.run(["true"], folder=tmp_path, environment=os.environ, on_line=print) == 0


def test_interrupted_reader_stops_the_child(tmp_path: Path) -> None:
    def refuse(line: str) -> None:
        raise ValueError(line)

    with pytest.raises(ValueError, match=r"^\d+$") as error:
        processes.run(
            [sys.executable, "-c", NESTED], folder=tmp_path, environment=os.environ, on_line=refuse
        )
    assert gone(int(str(error.value)))


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_the_commands_even_where_its_exception_is_swallowed(
    tmp_path: Path, number: signal.Signals
) -> None:
    def interrupt(_number: int, _frame: object) -> None:
        raise KeyboardInterrupt

    before = signal.signal(number, interrupt)
    lines: list[str] = []
    ended: list[type[Exception]] = []

    def work() -> None:
        try:
            processes.run(
                [sys.executable, "-c", NESTED],
                folder=tmp_path,
                environment=os.environ,
                on_line=lines.append,
            )
        except StoppedError as error:
            ended.append(type(error))

    thread = threading.Thread(target=work)
    try:
        with processes.ended_by_signals():
            thread.start()
            while not lines:
                time.sleep(0.05)
            with contextlib.suppress(KeyboardInterrupt):  # as a finalizer does
                os.kill(os.getpid(), number)
                time.sleep(20)
            thread.join(20)
        assert signal.getsignal(number) is interrupt
    finally:
        signal.signal(number, before)
        processes.stop_all()
    assert ended == [StoppedError]
    assert gone(int(lines[0]))


@pytest.mark.parametrize(
    ("lines", "reason"),
    [
        (["error: a rule", "ERROR: failed to reproduce 'x': exited with 1"], "a rule"),
        (["Traceback", "ValueError: no", "ERROR: failed to reproduce"], "ValueError: no"),
        (["ERROR: failed to reproduce 'x'"], "failed to reproduce 'x'"),
        (["nothing to see"], "exit status 7"),
    ],
)
def test_failure_reason_is_the_most_telling_line(lines: list[str], reason: str) -> None:
    assert processes.failure_reason(lines, 7) == reason

"""Runs one command that cannot outlive whoever asked for it: `python child.py PARENT COMMAND...`.

The process stands between the flow and a command (a DVC run, a server). When it is told to stop,
or when its parent process dies (even by `kill -9`), it ends the command and everything below it:
SIGTERM first, SIGKILL after a grace.
"""

import contextlib
import ctypes
import os
import signal
import subprocess
import sys
from typing import NoReturn

import psutil

PR_SET_PDEATHSIG = 1
PR_SET_CHILD_SUBREAPER = 36
GRACE_SECONDS = 10.0
SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
STOPPED_STATUS = 143


def main(argv: list[str]) -> int:
    """Runs `argv[1:]` for the parent process `argv[0]`; returns the command's exit status."""
    parent, command = int(argv[0]), argv[1:]
    for number in SIGNALS:
        signal.signal(number, _stop)
    _control(PR_SET_CHILD_SUBREAPER, 1)
    _control(PR_SET_PDEATHSIG, signal.SIGTERM)
    if os.getppid() != parent:  # it died before the line above took effect
        return STOPPED_STATUS
    # This process has one thread, so a preexec function is safe here.
    process = subprocess.Popen(command, preexec_fn=_die_with_parent)  # noqa: PLW1509
    status = process.wait()
    _end_descendants()
    return status if status >= 0 else 128 - status


def stop_descendants(grace_seconds: float) -> None:
    """Ends every process below this one: SIGTERM, then SIGKILL after the grace."""
    try:
        os.waitpid(-1, os.WNOHANG)
    except ChildProcessError:
        return
    own = psutil.Process()
    below = own.children(recursive=True)
    for process in _leaves(below):  # first the stage: DVC then ends by itself and tidies up
        _send(process.pid, signal.SIGTERM)
    _, left = psutil.wait_procs(below, timeout=grace_seconds / 5)
    for process in left:
        _send(process.pid, signal.SIGTERM)
    psutil.wait_procs(left, timeout=grace_seconds)
    for _ in range(100):
        left = [p for p in own.children(recursive=True) if p.status() != psutil.STATUS_ZOMBIE]
        if not left:
            return
        for process in left:
            _send(process.pid, signal.SIGKILL)
        psutil.wait_procs(left, timeout=0.1)


def _leaves(processes: list[psutil.Process]) -> list[psutil.Process]:
    """The processes that have no child among these."""
    parents = set()
    for process in processes:
        with contextlib.suppress(psutil.NoSuchProcess):
            parents.add(process.ppid())
    return [process for process in processes if process.pid not in parents]


def _send(pid: int, number: signal.Signals) -> None:
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        return


def _die_with_parent() -> None:
    _control(PR_SET_PDEATHSIG, signal.SIGTERM)


def _control(option: int, value: int) -> None:
    """Calls prctl where there is one (Linux)."""
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(option, value)


def _stop(_number: int, _frame: object) -> NoReturn:
    """Ends everything here and now.

    Signals come in bursts (one for every thread of a parent that dies, one for every call of
    `Child.terminate`); an exception raised here could meet the next one before it is handled.
    """
    _end_descendants()
    os._exit(STOPPED_STATUS)


def _end_descendants() -> None:
    """Stops all below, and is not to be stopped in that."""
    for number in SIGNALS:
        signal.signal(number, signal.SIG_IGN)
    stop_descendants(GRACE_SECONDS)


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))

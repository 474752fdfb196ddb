"""Stages as processes in groups of their own: started, and stopped with all they have started."""

import logging
import os
import shlex
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from tasks.errors import ParamsError
from tasks.pipeline.environment import stage_variables
from tasks.pipeline.graph import Stage
from tasks.runtime import STOPPED_STATUS, die_with_parent

POLL_SECONDS = 0.05

log = logging.getLogger(__name__)


def arguments_of(stage: Stage) -> list[str]:
    """What a stage's command gives to python. Raises ParamsError."""
    program, *arguments = shlex.split(stage.command)
    if program != "python":
        raise ParamsError(f"{stage.name}: its command must start with python; got {program!r}")
    return arguments


def start(root: Path, stage: Stage, threads: int) -> subprocess.Popen[bytes]:
    """Starts a stage in a workspace; nothing of an earlier run is left in its outputs, as in DVC.

    Raises:
        ParamsError: its command does not start with python.
    """
    arguments = arguments_of(stage)
    for out in stage.outs:
        if (root / out).is_dir():
            shutil.rmtree(root / out)
        else:
            (root / out).unlink(missing_ok=True)
        (root / out).parent.mkdir(parents=True, exist_ok=True)
    parent = os.getpid()

    def tie() -> None:
        """In the child: it ends with the parent, even if that dies before this line."""
        die_with_parent()
        if os.getppid() != parent:
            os._exit(STOPPED_STATUS)

    return subprocess.Popen(
        [sys.executable, *arguments],
        preexec_fn=tie,  # noqa: PLW1509 - no other thread of this process runs Python
        cwd=root,
        env=os.environ | stage_variables(threads),
        stdin=subprocess.DEVNULL,
        start_new_session=True,
    )


def stop(processes: Mapping[str, subprocess.Popen[bytes]], grace_seconds: float) -> None:
    """Tells stages to stop, and ends each with all it has started when it ends or the grace does.

    Args:
        processes: by the stage's name.
        grace_seconds: of all together.
    """
    left, end = dict(processes), time.monotonic() + grace_seconds
    try:
        for process in left.values():
            process.send_signal(signal.SIGTERM)
        while left and time.monotonic() < end:
            for name in [name for name, process in left.items() if process.poll() is not None]:
                _kill(left.pop(name))
            time.sleep(POLL_SECONDS if left else 0)
    finally:  # also where a second Ctrl-C cuts the grace short
        for name, process in left.items():
            if process.poll() is None:
                log.warning("%s: not stopped within %.0f s, so killed", name, grace_seconds)
            _kill(process)


def _kill(process: subprocess.Popen[bytes]) -> None:
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()

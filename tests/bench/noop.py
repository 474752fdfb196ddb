"""`dvc repro` on an unchanged tree: it runs nothing, and quickly."""

import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

from flows.environment import stage_environment
from flows.workspace import make_workspace

PRESET = "smoke"


def noop_repro(project: Path) -> tuple[float, int]:
    """Median seconds of three repeats after a first run, and how many stages they ran."""
    root = make_workspace(project, PRESET)
    repro(root)
    seconds: list[float] = []
    stages = 0
    for _ in range(3):
        started = time.perf_counter()
        output = repro(root)
        seconds.append(time.perf_counter() - started)
        stages += output.count("Running stage")
    return median(seconds), stages


def repro(root: Path) -> str:
    """The output of `dvc repro` in a workspace. Raises CalledProcessError when it fails."""
    with tempfile.TemporaryFile("w+") as file:
        subprocess.run(
            [sys.executable, "-m", "dvc", "repro"],
            cwd=root,
            env=stage_environment(1),
            stdout=file,
            stderr=subprocess.STDOUT,
            check=True,
        )
        file.seek(0)
        return file.read()

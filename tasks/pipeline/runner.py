"""Runs a graph's stages one after the other, in pieces: what is done stays done.

A stage is done when a marker below `.state/done/` holds its fingerprint and its outputs are there.
The fingerprint covers all that dvc.yaml lists for the stage: the command, the values of its
parameters, the bytes of its files, and the fingerprints of the stages whose outputs it reads.
"""

import hashlib
import json
import logging
import os
import shlex
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from tasks.artifacts.files import sha256_of, write_text
from tasks.errors import ArtifactError, FewlayersError
from tasks.pipeline.environment import stage_variables
from tasks.pipeline.graph import Graph, Stage, touch, value_of

log = logging.getLogger(__name__)


class StageFailedError(FewlayersError):
    """A stage ended with an error, which it has printed."""


@dataclass(frozen=True)
class Outcome:
    """How far a piece came: the stages done, and the one it stopped in or before, if any."""

    done: tuple[str, ...]
    stopped_at: str | None


@dataclass(frozen=True, kw_only=True)
class Piece:
    """When a piece ends.

    Attributes:
        budget_seconds: of the whole piece.
        grace_seconds: the last part of it, for the stage at work to save its state: it is told to
            stop when this begins and killed when it ends.
    """

    budget_seconds: float
    grace_seconds: float


@contextmanager
def one_at_a_time(root: Path) -> Iterator[None]:
    """Holds the workspace. Raises ArtifactError when another process holds it."""
    path = root / ".state" / "bare.lock"
    path.parent.mkdir(parents=True, exist_ok=True)
    lock = FileLock(path, timeout=0)
    try:
        lock.acquire()
    except Timeout:
        raise ArtifactError(f"{root}: another run is at work there; wait for its end") from None
    try:
        yield
    finally:
        lock.release()


def run_graph(
    root: Path,
    graph: Graph,
    params: Mapping[str, Any],
    piece: Piece,
    *,
    clock: Callable[[], float] = time.monotonic,
) -> Outcome:
    """Runs what is not done, in order, until all is done or the piece ends.

    Args:
        root: the workspace, with params.yaml and tasks/.
        graph: its stages.
        params: the content of params.yaml.
        piece: when to end.
        clock: seconds.

    Raises:
        ArtifactError: a stage needs a file that is not there and that no stage makes.
        StageFailedError: a stage failed.
    """
    started = clock()
    threads = int((params.get("runtime") or {}).get("threads", 1))
    marks: dict[str, str] = {}
    names = tuple(stage.name for stage in graph.stages)
    for number, stage in enumerate(graph.stages):
        marks[stage.name] = fingerprint(root, stage, graph, params, marks)
        if is_done(root, stage, marks[stage.name]):
            continue
        left = started + piece.budget_seconds - piece.grace_seconds - clock()
        if left <= 0:
            return Outcome(names[:number], stage.name)
        log.info("%d/%d %s", number + 1, len(graph.stages), stage.name)
        before = clock()
        if not _run(root, stage, threads, left, piece.grace_seconds):
            return Outcome(names[:number], stage.name)
        log.info("%s: done in %.0f s", stage.name, clock() - before)
        _mark(root, stage, marks[stage.name], clock() - before)
    return Outcome(names, None)


def fingerprint(
    root: Path, stage: Stage, graph: Graph, params: Mapping[str, Any], marks: Mapping[str, str]
) -> str:
    """Hex sha256 over the command, parameters, files and parents of a stage.

    Args:
        root: the workspace.
        stage: one of the graph.
        graph: all stages.
        params: the content of params.yaml.
        marks: fingerprints of the stages before.

    Raises:
        ArtifactError: a file that no stage makes is missing.
    """
    made = [out for other in graph.stages for out in other.outs]
    files = {
        dep: _hash_of(root / dep, stage.name)
        for dep in stage.deps
        if not any(touch(dep, out) for out in made)
    }
    parts = {
        "command": stage.command,
        "params": {key: value_of(params, key) for key in stage.params},
        "files": files,
        "parents": {name: marks[name] for name in graph.parents[stage.name]},
    }
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


def _hash_of(path: Path, stage: str) -> dict[str, str] | str:
    if path.is_file():
        return sha256_of(path)
    if not path.is_dir():
        raise ArtifactError(f"{path}: {stage} needs it, no stage makes it, and it is not there")
    files = sorted(
        file for file in path.rglob("*") if file.is_file() and file.parent.name != "__pycache__"
    )
    return {str(file.relative_to(path)): sha256_of(file) for file in files}


def _marker(root: Path, stage: Stage) -> Path:
    return root / ".state" / "done" / f"{stage.name}.json"


def is_done(root: Path, stage: Stage, mark: str) -> bool:
    """Whether the stage was run as it is now and its outputs are there."""
    try:
        content = json.loads(_marker(root, stage).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    return content["fingerprint"] == mark and all((root / out).exists() for out in stage.outs)


def stage_seconds(root: Path, graph: Graph) -> dict[str, float]:
    """How long the last start of every stage took that is done; those before it are not counted."""
    found = {}
    for stage in graph.stages:
        path = _marker(root, stage)
        if path.is_file():
            found[stage.name] = float(json.loads(path.read_text(encoding="utf-8"))["seconds"])
    return found


def _mark(root: Path, stage: Stage, mark: str, seconds: float) -> None:
    for out in stage.outs:
        if not (root / out).exists():
            raise ArtifactError(f"{stage.name}: ended without having made {out}")
    content = {"fingerprint": mark, "seconds": round(seconds, 3)}
    write_text(_marker(root, stage), json.dumps(content) + "\n")


def _run(root: Path, stage: Stage, threads: int, seconds: float, grace_seconds: float) -> bool:
    """Runs a stage; False where it had to be stopped. Raises StageFailedError."""
    _marker(root, stage).unlink(missing_ok=True)
    for out in stage.outs:  # as DVC does: nothing of an earlier run is left in them
        if (root / out).is_dir():
            shutil.rmtree(root / out)
        else:
            (root / out).unlink(missing_ok=True)
        (root / out).parent.mkdir(parents=True, exist_ok=True)
    program, *arguments = shlex.split(stage.command)
    if program != "python":
        raise StageFailedError(f"{stage.name}: its command must start with python; got {program!r}")
    process = subprocess.Popen(
        [sys.executable, *arguments],
        cwd=root,
        env=os.environ | stage_variables(threads),
        stdin=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        status = process.wait(seconds)
    except subprocess.TimeoutExpired:
        _stop(process, grace_seconds)
        status = process.returncode
        if status:
            return False
    except BaseException:
        _stop(process, grace_seconds)
        raise
    if status:
        raise StageFailedError(f"{stage.name}: exit status {status}; its reason stands above")
    return True


def _stop(process: subprocess.Popen[bytes], grace_seconds: float) -> None:
    """Tells the stage to stop, and ends it and all it has started when the grace is over."""
    process.send_signal(signal.SIGTERM)
    try:
        process.wait(grace_seconds)
    except subprocess.TimeoutExpired:
        log.warning("not stopped within %.0f s, so killed", grace_seconds)
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()

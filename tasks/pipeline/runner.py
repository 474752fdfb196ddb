"""Runs a graph's stages, several at once, in pieces: what is done stays done."""

import logging
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from tasks.errors import ArtifactError, FewlayersError
from tasks.pipeline.done import done_stages, fingerprints, mark_done, missing_outs, unmark
from tasks.pipeline.graph import Graph, Stage
from tasks.pipeline.processes import POLL_SECONDS, arguments_of, start, stop
from tasks.pipeline.schedule import available_cores, stages_within, startable
from tasks.sections.run import Runtime

log = logging.getLogger(__name__)


class StageFailedError(FewlayersError):
    """Stages ended with an error, which they have printed; `done` names those that are done."""

    def __init__(self, message: str, done: tuple[str, ...]) -> None:
        super().__init__(message)
        self.done = done


@dataclass(frozen=True)
class Outcome:
    """How far a piece came: the stages done, and the first that is not, both in graph order."""

    done: tuple[str, ...]
    stopped_at: str | None  # None: all are done


@dataclass(frozen=True, kw_only=True)
class Piece:
    """When a piece ends.

    Attributes:
        budget_seconds: of the whole piece.
        grace_seconds: the last part of it, for the stages at work to save their state: they are
            told to stop when this begins and killed when it ends.
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

    Up to `runtime.parallel_stages` run at once. Where one fails, those that do not need it go on.

    Args:
        root: the workspace, with params.yaml and tasks/.
        graph: its stages.
        params: the content of params.yaml.
        piece: when to end.
        clock: seconds.

    Raises:
        ArtifactError: a stage needs a file that is not there and that no stage makes.
        ParamsError: a stage's command does not start with python.
        StageFailedError: stages failed; the others are done, or the piece has ended.
    """
    end = clock() + piece.budget_seconds - piece.grace_seconds
    runtime = Runtime.model_validate(params.get("runtime") or {})
    workers = _workers(runtime)
    work = _Work(root, graph, params, runtime.threads)
    try:
        while clock() < end and work.go_on(workers):
            time.sleep(POLL_SECONDS)
            work.settle()
    finally:
        work.stop(piece.grace_seconds)
    done = tuple(stage.name for stage in graph.stages if stage.name in work.done)
    if work.failed:
        raise StageFailedError(work.told_of_failure(), done)
    left = work.left()
    return Outcome(done, left[0].name if left else None)


def _workers(runtime: Runtime) -> int:
    cores = available_cores()
    workers = stages_within(cores, threads=runtime.threads, wanted=runtime.parallel_stages)
    if workers < runtime.parallel_stages:
        log.info(
            "runtime.parallel_stages %d x runtime.threads %d is more than the %d cores; "
            "running %d at once",
            *(runtime.parallel_stages, runtime.threads, cores, workers),
        )
    return workers


@dataclass(frozen=True)
class _Started:
    stage: Stage
    process: subprocess.Popen[bytes]
    at: float  # of time.monotonic


class _Work:
    """A graph's stages by what has become of them; final."""

    def __init__(self, root: Path, graph: Graph, params: Mapping[str, Any], threads: int) -> None:
        self.root, self.graph, self.threads = root, graph, threads
        self.marks = fingerprints(root, graph, params)
        self.done = done_stages(root, graph, self.marks)
        self.failed: dict[str, str] = {}  # why
        self.running: dict[str, _Started] = {}
        for stage in self.left():
            arguments_of(stage)  # what cannot run is refused before anything is started

    def left(self) -> list[Stage]:
        """The stages that are not done, in order."""
        return [stage for stage in self.graph.stages if stage.name not in self.done]

    def go_on(self, workers: int) -> bool:
        """Starts what may start; False when nothing is at work then."""
        ready = [
            stage
            for stage in self.left()
            if stage.name not in self.running.keys() | self.failed.keys()
            and self.done.issuperset(self.graph.parents[stage.name])
        ]
        at_work = [started.stage for started in self.running.values()]
        for stage in startable(ready, at_work, workers):
            place = 1 + self.graph.stages.index(stage)
            log.info("%d/%d %s", place, len(self.graph.stages), stage.name)
            unmark(self.root, stage)
            process = start(self.root, stage, self.threads)
            self.running[stage.name] = _Started(stage, process, time.monotonic())
        return bool(self.running)

    def settle(self) -> None:
        """Takes the stages that have ended from those at work: they are done, or have failed."""
        for name, started in list(self.running.items()):
            status = started.process.poll()
            if status is None:
                continue
            del self.running[name]
            if status:
                self._fail(name, f"exit status {status}; its reason stands above")
            else:
                self._finish(started)

    def stop(self, grace_seconds: float) -> None:
        """Stops the stages at work; those that end well in spite of it are done."""
        processes = {name: started.process for name, started in self.running.items()}
        stop(processes, grace_seconds)
        for started in self.running.values():
            if started.process.returncode == 0:
                self._finish(started)
        self.running.clear()

    def told_of_failure(self) -> str:
        """One line: the stages that failed, why, and those that were not run because of it."""
        blocked = dict.fromkeys(self.failed)
        for stage in self.left():
            if any(parent in blocked for parent in self.graph.parents[stage.name]):
                blocked[stage.name] = None
        told = [f"{name}: {reason}" for name, reason in self.failed.items()]
        behind = [name for name in blocked if name not in self.failed]
        if behind:
            told.append(f"not run because of that: {', '.join(behind)}")
        return "; ".join(told)

    def _finish(self, started: _Started) -> None:
        stage, seconds = started.stage, time.monotonic() - started.at
        if missing := missing_outs(self.root, stage):
            self._fail(stage.name, f"ended without having made {missing[0]}")
            return
        mark_done(self.root, stage, self.marks[stage.name], seconds)
        self.done.add(stage.name)
        log.info("%s: done in %.0f s", stage.name, seconds)

    def _fail(self, name: str, reason: str) -> None:
        self.failed[name] = reason
        log.error("%s: %s", name, reason)

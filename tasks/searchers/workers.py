"""Processes that measure masks of one study beside the process that leads it."""

import logging
import os
import subprocess
import time
from collections.abc import Sequence
from types import TracebackType
from typing import Self

from optuna.storages import BaseStorage

from tasks.pipeline.schedule import available_cores, stages_within
from tasks.searchers.queue import StudyQueue
from tasks.searchers.study import POLL_SECONDS, Gauge, measure_one
from tasks.sections.run import Runtime
from tasks.sections.search import Search

END_SECONDS = 30.0
WAIT_SECONDS = 1.0

log = logging.getLogger(__name__)


class Workers:
    """Worker processes, started on entry and ended on exit."""

    def __init__(self, command: Sequence[str], count: int) -> None:
        """`count` processes of `command`, which must end when this process does."""
        self.command, self.count = list(command), count
        self.processes: list[subprocess.Popen[bytes]] = []

    def __enter__(self) -> Self:
        self.processes = [subprocess.Popen(self.command) for _ in range(self.count)]
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if kind is not None:
            for process in self.processes:
                process.terminate()
        for process in self.processes:
            try:
                process.wait(END_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()

    def watch(self) -> None:
        """Says once of every worker that ended early; the search goes on without it."""
        for process in list(self.processes):
            status = process.poll()
            if status:
                log.warning(
                    "a worker of the search ended with status %d; going on without it", status
                )
                self.processes.remove(process)


def processes_of(runtime: Runtime, options: Search) -> int:
    """How many processes search at once: `search_workers`, as far as they have work and cores."""
    wanted, cores = runtime.search_workers, available_cores()
    beside = stages_within(cores, threads=runtime.threads, wanted=runtime.parallel_stages)
    if wanted > 1 and wanted * runtime.threads * beside > cores:
        log.warning(
            "runtime.search_workers %d x runtime.threads %d x runtime.parallel_stages %d is more "
            "than this machine's %d cores", wanted, runtime.threads, beside, cores,
        )  # fmt: skip
    if wanted > options.batch:
        log.warning(
            "runtime.search_workers %d is more than search.batch %d: while masks are sampled, "
            "%d processes wait", wanted, options.batch, wanted - options.batch,
        )  # fmt: skip
    return wanted


def measure_for(gauge: Gauge, storage: BaseStorage, leader: int | None, what: str) -> None:
    """What a worker process does, from waiting for its study to the end of the search.

    Args:
        gauge: measures.
        storage: where the study lives, or soon will.
        leader: the process to end with; None: somebody started this worker by hand.
        what: names the work in the log.
    """
    queue = _study_of(storage, gauge.plan.name, leader, what)
    if queue is not None:
        log.info("%s: a worker measured %d units", what, work(gauge, queue, leader=leader))


def _study_of(storage: BaseStorage, name: str, leader: int | None, what: str) -> StudyQueue | None:
    told = False
    while is_led(leader):
        try:
            return StudyQueue(storage, name)
        except KeyError:
            if not told and leader is None:
                log.info("%s: no search has begun study %s; waiting for it", what, name)
            told = True
            time.sleep(WAIT_SECONDS)
    return None


def work(gauge: Gauge, queue: StudyQueue, *, leader: int | None) -> int:
    """Measures whatever is queued until the search ends; returns how many units it measured.

    Args:
        gauge: measures.
        queue: of the study.
        leader: the process to end with; None: a worker that somebody started elsewhere.
    """
    measured = 0
    while is_led(leader) and not queue.is_closed:
        if measure_one(gauge, queue):
            measured += 1
        else:
            time.sleep(POLL_SECONDS)
    return measured


def is_led(leader: int | None) -> bool:
    """Whether the process that started this one still lives."""
    return leader is None or os.getppid() == leader

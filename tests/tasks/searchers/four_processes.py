"""`python -m tests.tasks.searchers.four_processes FOLDER`: one study by four real processes.

Everything is imported once and the processes are forked before torch has worked, which is quick
and safe. FOLDER/whole is searched by four; in FOLDER/killed one of them kills itself with SIGKILL
while it measures.
"""

import os
import signal
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import torch

from tasks.masks.cost import share_costs
from tasks.masks.mask import Mask
from tasks.searchers.evaluator import MaskEvaluator
from tasks.searchers.journal import open_journal
from tasks.searchers.queue import StudyQueue
from tasks.searchers.study import Gauge, Plan, run_study
from tasks.searchers.workers import measure_for
from tasks.sections.search import Search
from tests.tiny import tiny_model, tiny_windows

PROCESSES = 4
OPTIONS = Search(exhaustive_limit=0, trials=40, sampler="surrogate", batch=4)
PLAN = Plan(
    name="study",
    num_blocks=6,
    sizes=[2, 3],
    proposals=[("first", (0, 1)), ("last", (4, 5)), ("first", (0, 1, 2))],
    costs=share_costs(6),
    seed=5,
)


class Slow(MaskEvaluator):
    """Takes long enough for every process to get its share."""

    def errors(self, masks: Sequence[Mask]) -> list[float]:
        time.sleep(0.1)
        return super().errors(masks)


class Suicidal(Slow):
    """Is killed in the middle of its second unit."""

    units = 0

    def errors(self, masks: Sequence[Mask]) -> list[float]:
        self.units += 1
        if self.units == 2:
            os.kill(os.getpid(), signal.SIGKILL)
        return super().errors(masks)


def gauge_of(kind: type[MaskEvaluator] = MaskEvaluator) -> Gauge:
    """The gauge that every process makes for itself."""
    return Gauge(PLAN, OPTIONS, kind(tiny_model(blocks=6), tiny_windows(64)))


def take_part(number: int, folder: Path, *, one_dies: bool) -> None:
    """Process 0 leads and writes the trials, the others measure."""
    torch.set_num_threads(1)
    storage = open_journal(folder / "journal.log")
    if number == 0:
        trials = run_study(gauge_of(Slow), StudyQueue.create(storage, PLAN.name), "search")
        trials.to_csv(folder / "trials.csv", index=False)
    else:
        dies = one_dies and number == 1
        measure_for(gauge_of(Suicidal if dies else Slow), storage, None, "search")


def run_all(folder: Path, *, one_dies: bool) -> None:
    """Forks the processes and waits for them."""
    children = []
    for number in range(PROCESSES):
        child = os.fork()
        if child == 0:
            status = 1
            try:
                take_part(number, folder, one_dies=one_dies)
                status = 0
            finally:
                os._exit(status)
        children.append(child)
    statuses = [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children]
    (folder / "statuses").write_text(" ".join(map(str, statuses)))


if __name__ == "__main__":
    for name, dies in (("whole", False), ("killed", True)):
        (Path(sys.argv[1]) / name).mkdir()
        run_all(Path(sys.argv[1]) / name, one_dies=dies)

"""What a healed mask is compared with: the full model tuned on, and models from scratch."""

import copy
from collections.abc import Sequence
from dataclasses import replace

from tasks.models.base import ForecastModel
from tasks.training.healing import Healer, HealingJob
from tasks.training.recipe import Student


def tuned_on(healer: Healer, steps: int) -> list[Student]:
    """The full model healed as if it were a mask, of all blocks, in every way of `healing.options`.

    What a teacher gives a mask it gives the full model as well, whose teacher is itself
    (born-again networks, Furlanello et al. 2018, arXiv 1805.04770). Nothing is removed, neither at
    once nor in rounds, so that there is no cut to repair.
    """
    whole = tuple(range(healer.full.num_blocks))
    ways = [replace(option, rounds=1, seam_repair=False) for option in healer.options]
    jobs = [HealingJob(f"full_extra {way.name}", whole, way) for way in ways]
    return [healer.student(job, healer.full, whole, steps) for job in jobs]


def trained_anew(healer: Healer, model: ForecastModel, steps: int) -> list[Student]:
    """A model with random weights in every way of `healing.scratch`; it keeps its best checkpoint.

    It takes all its steps, on the batches of the masks, without a teacher.
    """
    return [
        Student(
            name=f"scratch {option.name}",
            model=copy.deepcopy(model),
            steps=steps,
            learning_rate=option.rate * healer.scratch_rate,
            way=option.name,
            replay=option.replay,
        )
        for option in healer.usable(healer.healing.scratch, "healing.scratch")
    ]


def best_rival(students: Sequence[Student], name: str) -> Student:
    """The one with the lowest validation error, under this name."""
    return replace(min(students, key=lambda student: student.best_valid), name=name)

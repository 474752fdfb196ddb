"""What a healed mask is compared with: the full model tuned on, and models from scratch.

They learn without a teacher, in every way of `healing.rivals`, on the batches of the masks.
"""

import copy
from collections.abc import Sequence
from dataclasses import replace

from tasks.models.base import ForecastModel
from tasks.training.healing import Healer
from tasks.training.healing_student import HealingStudent
from tasks.training.recipe import Student


def tuned_on(healer: Healer, steps: int) -> list[Student]:
    """The full model with the extra tuning of a mask.

    As a mask it takes all its steps, and keeps its first weights where the last are no better.
    What is frozen stays frozen.
    """
    return _students(healer, "full_extra", healer.full, steps, healer.rate, HealingStudent)


def trained_anew(healer: Healer, model: ForecastModel, steps: int) -> list[Student]:
    """A model with random weights in training, which keeps its best checkpoint as `train` does."""
    return _students(healer, "scratch", model, steps, healer.scratch_rate, Student)


def _students(
    healer: Healer,
    name: str,
    model: ForecastModel,
    steps: int,
    rate: float,
    kind: type[Student],
) -> list[Student]:
    return [
        kind(
            name=f"{name} {option.name}",
            model=copy.deepcopy(model),
            steps=steps,
            learning_rate=option.rate * rate,
            replay=option.replay,
        )
        for option in healer.usable(healer.healing.rivals, "healing.rivals")
    ]


def best_rival(students: Sequence[Student], name: str) -> Student:
    """The one with the lowest validation error, under this name."""
    return replace(min(students, key=lambda student: student.best_valid), name=name)

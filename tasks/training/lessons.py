"""The loss of a student: the task, the teacher's forecast, and the teacher's hidden states."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from tasks.models.base import ForecastModel
from tasks.models.interface import LossSpec, Outputs, loss_between, task_loss
from tasks.training.parts import states_after
from tasks.training.recipe import Student


@dataclass(frozen=True)
class Lesson:
    """What the teacher makes of one batch: its forecasts, and its states after some blocks."""

    outputs: Outputs
    states: dict[int, Float[Tensor, "batch tokens width"]]


@torch.no_grad()
def teach(
    teacher: ForecastModel, batch: Float[Tensor, "batch length"], students: Sequence[Student]
) -> Lesson:
    """One pass of the teacher for all students."""
    wanted = sorted({block for s in students if s.hidden for block in s.matched})
    with states_after(teacher, wanted) as states:
        return Lesson(teacher.outputs(batch), states)


def student_loss(
    student: Student,
    batch: Float[Tensor, "batch length"],
    lesson: Lesson | None,
    spec: LossSpec,
) -> Float[Tensor, ""]:
    """(1 - distillation) * task + distillation * forecasts + hidden * states.

    The second compares the forecasts of student and teacher by the task's own loss (Hinton et al.
    2015), the third their residual streams, see `state_distance`.
    """
    own = range(len(student.matched) if lesson and student.hidden else 0)
    with states_after(student.model, own) as states:
        outputs = student.model.outputs(batch)
    loss = task_loss(outputs, spec)
    if lesson is not None and student.distillation:
        taught = loss_between(outputs.prediction, lesson.outputs.prediction, outputs, spec)
        loss = (1 - student.distillation) * loss + student.distillation * taught
    if lesson is not None and student.hidden and student.matched:
        wanted = [lesson.states[block] for block in student.matched]
        loss = loss + student.hidden * state_distance([states[block] for block in own], wanted)
    return loss


def state_distance(
    states: Sequence[Float[Tensor, "batch tokens width"]],
    wanted: Sequence[Float[Tensor, "batch tokens width"]],
) -> Float[Tensor, ""]:
    """Mean over blocks of |h - t|^2 / |t|^2, each over all tokens of the batch.

    0 where all states agree, 1 for states of zeros. Matching hidden states is TinyBERT's idea (Jiao
    et al. 2020, arXiv 1909.10351); dividing by their size is ours, so that late blocks, whose
    states are large, weigh no more than early ones.
    """
    parts = [
        (state.float() - target.float()).square().mean()
        / target.float().square().mean().clamp(min=1e-12)
        for state, target in zip(states, wanted, strict=True)
    ]
    return torch.stack(parts).mean()

"""Healing: fine-tuning masks of a model after pruning, several of them on the same batches."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Literal

from tasks.artifacts import ControlSummary
from tasks.models.native import NativeModel
from tasks.sections import Healing, Training
from tasks.training.fit import TrainingData
from tasks.training.loop import Loop
from tasks.training.recipe import Recipe, Student, recipe_of


def healing_recipe(training: Training, healing: Healing, *, seed: int) -> Recipe:
    """The model's own training recipe with the evaluation rhythm and patience of healing."""
    recipe = recipe_of(training, seed=seed)
    return replace(recipe, eval_every=healing.eval_every, patience=healing.patience)


def pruned_student(
    name: str,
    full: NativeModel,
    keep: Sequence[int],
    *,
    steps: int,
    rate: float,
    distillation: float,
) -> Student:
    """A student that starts as the full model with just the kept blocks."""
    return Student(
        name=name,
        model=full.with_blocks(keep),
        steps=steps,
        learning_rate=rate,
        distillation=distillation,
    )


def heal(
    students: Sequence[Student],
    recipe: Recipe,
    data: TrainingData,
    *,
    teacher: NativeModel,
    state_folder: Path,
    what: str,
) -> Loop:
    """Heals all students together: same batches, and the teacher's forecast computed once."""
    loop = Loop(
        students,
        recipe,
        windows=data.windows,
        valid=data.valid,
        state_folder=state_folder,
        what=what,
        teacher=teacher,
    )
    loop.run()
    return loop


def save_control(
    folder: Path,
    student: Student,
    keep: Sequence[int] | None,
    precision: Literal["fp32", "bf16"],
) -> None:
    """Writes a control's model folder with its control.json.

    `keep` names its blocks in the full model; None where it is not a mask of it.
    """
    student.model.save(folder)
    ControlSummary(
        name=student.name,
        keep=None if keep is None else list(keep),
        training=student.summary(precision),
    ).write(folder / "control.json")

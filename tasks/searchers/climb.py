"""Candidates climb the rungs: all healed briefly, the best of each size healed fully."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from tasks.artifacts import Candidate
from tasks.masks.mask import Mask, format_mask
from tasks.models.native import NativeModel
from tasks.searchers.rungs import Entry, rank_correlation
from tasks.sections import Healing
from tasks.training.fit import TrainingData
from tasks.training.healing import heal, pruned_student
from tasks.training.loop import Loop
from tasks.training.recipe import Recipe, Student


@dataclass(frozen=True, kw_only=True)
class Ladder:
    """What both rungs share."""

    full: NativeModel  # the model to prune, and the teacher
    data: TrainingData
    recipe: Recipe
    healing: Healing
    rate: float
    state: Path
    what: str

    def rung(
        self, masks: Sequence[Mask], steps: int, label: str, *, rivals: Sequence[Student] = ()
    ) -> tuple[dict[Mask, float], Loop]:
        """The best validation error of every mask after `steps` steps of healing.

        `rivals` are trained along, on the same batches.
        """
        options = self.healing.options
        weight = self.healing.distillation if "distilled" in options else 0.0
        students = [
            pruned_student(
                format_mask(mask).replace(" ", "-"),
                self.full,
                mask,
                steps=steps,
                rate=self.rate,
                distillation=weight,
            )
            for mask in masks
        ]
        students += rivals
        rhythm = max(1, min(self.recipe.eval_every, steps))
        loop = heal(
            students,
            replace(self.recipe, eval_every=rhythm),
            self.data,
            teacher=self.full,
            state_folder=self.state / label,
            what=f"{self.what} {label}",
        )
        errors = [student.best_valid for student in students[: len(masks)]]
        return dict(zip(masks, errors, strict=True)), loop


@dataclass(frozen=True)
class Climb:
    """Validation errors of the candidates after each rung."""

    entries: Sequence[Entry]
    brief: dict[Mask, float]
    full: dict[Mask, float]  # the best of each size only
    extra: Student  # the full model with the same extra tuning
    precision: Literal["fp32", "bf16"]

    def candidates(self) -> list[Candidate]:
        """The candidates as the search writes them."""
        return [
            Candidate(
                keep=list(entry.mask),
                source=entry.source,
                valid_mse_before=entry.unhealed,
                valid_mse_healed=self.brief[entry.mask],
                valid_mse_fully_healed=self.full.get(entry.mask),
                cost=entry.cost,
            )
            for entry in self.entries
        ]

    def correlation(self, size: int | None = None) -> float | None:
        """Kendall's tau before against after the short healing, of all masks or of one size."""
        chosen = [e for e in self.entries if size is None or len(e.mask) == size]
        return rank_correlation([e.unhealed for e in chosen], [self.brief[e.mask] for e in chosen])


def climb(ladder: Ladder, entries: Sequence[Entry], brief_steps: int) -> Climb:
    """Heals all candidates briefly, then the best of each size with the whole budget.

    The full model gets the same extra tuning on the same batches, because the choice is judged
    against the better of the two.
    """
    brief, first = ladder.rung([entry.mask for entry in entries], brief_steps, "short healing")
    best: dict[int, Mask] = {}
    for mask in sorted(brief, key=lambda mask: brief[mask]):
        best.setdefault(len(mask), mask)
    masks = [best[size] for size in sorted(best)]
    steps = ladder.healing.steps
    extra = pruned_student(
        "full_extra",
        ladder.full,
        range(ladder.full.num_blocks),
        steps=steps,
        rate=ladder.rate,
        distillation=0.0,
    )
    full, second = ladder.rung(masks, steps, "full healing", rivals=[extra])
    for loop in (first, second):
        loop.discard_state()
    return Climb(entries, brief, full, extra, second.precision)

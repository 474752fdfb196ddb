"""Candidates climb the rungs: many healed briefly, few for long, the best of each size fully."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from tasks.artifacts.search import Candidate
from tasks.masks.mask import Mask, format_mask
from tasks.searchers.rungs import (
    Entry,
    correlation_within_sizes,
    rank_correlation,
    survivors,
)
from tasks.training.healing import Healed, Healer, HealingJob
from tasks.training.options import HealingOption
from tasks.training.recipe import Student
from tasks.training.rivals import best_rival, tuned_on


@dataclass(frozen=True, kw_only=True)
class Ladder:
    """What all rungs share; the rungs heal by the healer's last option, the end by all of them."""

    healer: Healer
    state: Path
    what: str

    def heal(
        self,
        masks: Sequence[Mask],
        options: Sequence[HealingOption],
        steps: int,
        label: str,
    ) -> tuple[dict[Mask, float], Healed]:
        """The best validation error of every mask after `steps` steps of healing by any option.

        Every rung starts from the unhealed masks, so its errors are those of a whole healing of
        that length, with its own warm-up and decay.
        """
        jobs = [
            HealingJob(f"{format_mask(mask)} {option.name}", mask, option, is_trial=True)
            for mask in masks
            for option in options
        ]
        healed = self.healer.heal(
            jobs,
            steps=steps,
            state_folder=self.state / label.replace(" ", "-"),
            what=f"{self.what} {label}",
        )
        errors = dict.fromkeys(masks, float("inf"))
        for job, student in zip(jobs, healed.students, strict=True):
            errors[job.keep] = min(errors[job.keep], student.best_valid)
        return errors, healed


@dataclass(frozen=True)
class Rung:
    """The masks that were healed for so many steps, and what that did to their order."""

    steps: int
    errors: dict[Mask, float]
    tau: float | None  # with the ranking before


@dataclass(frozen=True)
class Climb:
    """Validation errors of the candidates after each rung."""

    entries: Sequence[Entry]
    rungs: list[Rung]
    finalists: list[Mask]  # the best of each size
    full: dict[Mask, float]  # errors of the finalists, fully healed; empty where there is only one
    extra: Student  # the full model with the same extra tuning
    runs: list[Healed]  # of the rungs and of the full healing, whose checkpoints are still there

    @property
    def precision(self) -> Literal["fp32", "bf16"]:
        """That of all loops."""
        return self.runs[-1].precision

    def discard_state(self) -> None:
        """Deletes all checkpoints, once the results are safely written."""
        for run in self.runs:
            run.discard_state()

    def candidates(self) -> list[Candidate]:
        """The candidates as the search writes them."""
        return [
            Candidate(
                keep=list(entry.mask),
                source=entry.source,
                valid_mse_before=entry.unhealed,
                valid_mse_healed=[
                    rung.errors[entry.mask] for rung in self.rungs if entry.mask in rung.errors
                ],
                valid_mse_fully_healed=self.full.get(entry.mask),
                cost=entry.cost,
            )
            for entry in self.entries
        ]

    def correlation(self, size: int) -> float | None:
        """Kendall's tau of the masks of one size, before against after the first rung."""
        chosen = [entry for entry in self.entries if len(entry.mask) == size]
        first = self.rungs[0].errors
        return rank_correlation([e.unhealed for e in chosen], [first[e.mask] for e in chosen])


def climb(ladder: Ladder, entries: Sequence[Entry], rung_steps: Sequence[int], steps: int) -> Climb:
    """Heals all candidates on the first rung, the survivors on the next, the best ones fully.

    First of all the full model gets the same extra tuning as a mask that is healed fully: the
    choice is judged against the better of the two, and it is the teacher of all masks.

    After the last rung the best of each size is healed with all `steps`, by every option; where
    one size is wanted there is nothing to choose, and the stage `prune` heals it.

    Args:
        ladder: what all rungs share; its healer's teacher is the full model.
        entries: the candidates.
        rung_steps: healing steps of each rung, rising.
        steps: of the full healing.
    """
    extras = tuned_on(ladder.healer, steps)
    tuned = ladder.healer.heal(
        [],
        steps=steps,
        state_folder=ladder.state / "extra-tuning",
        what=f"{ladder.what} extra tuning",
        rivals=extras,
    )
    extra = best_rival(extras, "full_extra")
    ladder = replace(ladder, healer=replace(ladder.healer, teacher=extra.model))
    healer, before = ladder.healer, {entry.mask: entry.unhealed for entry in entries}
    masks, rungs, runs = list(before), list[Rung](), [tuned]
    for number, brief in enumerate(rung_steps, start=1):
        errors, healed = ladder.heal(masks, healer.options[-1:], brief, f"rung {number}")
        tau = correlation_within_sizes(before, errors)
        rungs.append(Rung(brief, errors, tau))
        runs.append(healed)
        before, masks = errors, survivors(errors, tau)
    finalists = survivors(before, tau=1.0)  # the best of each size
    full: dict[Mask, float] = {}
    if len(finalists) > 1:
        full, healed = ladder.heal(finalists, healer.options, steps, "full healing")
        runs.append(healed)
    return Climb(entries, rungs, finalists, full, extra, runs)

"""Are these the layers, or would another draw have given others? Agreement over settings.

A setting is one change of what must not matter: other calibration windows, half of the training
period, training seed, horizon. `agreement` has the comparisons with chance.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import comb, prod
from typing import Literal

import numpy as np

from tasks.artifacts.files import Artifact
from tasks.masks.mask import Mask, top_mask
from tasks.metrics.agreement import (
    ALPHA,
    ROUNDING,
    Agreement,
    agreement_with,
    mask_agreement,
    settled_blocks,
)
from tasks.sections.search import Granularity

Axis = Literal["calibration", "period", "seed", "horizon"]
Answer = Literal["finding", "partly", "other", "draw"]

SEARCH = "search"  # the source of masks that is no score
MOSTLY = 0.5  # Jaccard's index


class Setting(Artifact):
    """What one setting chose: masks of one size by source, and every score's values."""

    axis: Axis
    label: str  # for example "first half", "horizon 24"
    masks: dict[str, list[int]]  # by "search" (the best mask before healing) and by score
    scores: dict[str, list[float]]


class Stability(Artifact):
    """`stability/DATASET/MODEL.json`: the run's own choice and what other settings chose."""

    dataset: str
    model: str
    granularity: Granularity = "block"  # what a block is here
    num_blocks: int
    keep: list[int]  # the run's choice
    windows: int  # of each setting
    settings: list[Setting]


def setting_of(
    axis: Axis, label: str, search: Sequence[int], scores: dict[str, list[float]]
) -> Setting:
    """A setting from the mask that a search found and the scores; their masks are as large."""
    masks = {SEARCH: list(search)}
    masks |= {name: list(top_mask(values, len(search))) for name, values in scores.items()}
    return Setting(axis=axis, label=label, masks=masks, scores=scores)


def without(masks: Sequence[Sequence[int]], aside: Sequence[int]) -> list[Mask]:
    """The masks with some blocks set aside."""
    return [tuple(block for block in mask if block not in aside) for mask in masks]


@dataclass(frozen=True, kw_only=True)
class Consensus:
    """Whether what several settings chose is a finding or a draw."""

    answer: Answer
    settled: list[int]  # blocks in nearly every mask, and block 0 where it is in every one
    whole: Agreement
    rest: Agreement | None  # without these; None: there are none, or no two masks hold another


@dataclass(frozen=True, kw_only=True)
class Judgement(Consensus):
    """The same, and whether it is what the run chose."""

    chosen: Agreement  # the run's own choice against the settings'


def consensus(
    masks: Sequence[Sequence[int]],
    num_blocks: int,
    *,
    samples: int,
    generator: np.random.Generator,
) -> Consensus | None:
    """Are masks of several settings a finding or a draw?

    A finding: they agree more than random masks do (in at most 5 % of cases do those agree as
    much), and still do without the blocks that are settled: those in nearly every mask, and block
    0, which most models keep, where it is in every one. Partly: only these blocks are a finding.
    Otherwise a draw, that is not clearly more agreement than by chance. None: fewer than two
    settings, or so few blocks that not even equal masks would be told from random ones.
    """
    whole = mask_agreement(masks, num_blocks, samples=samples, generator=generator)
    if whole is None or _least_p_value(masks, num_blocks) > ALPHA:
        return None
    settled = settled_blocks(masks, num_blocks, samples=samples, generator=generator)
    is_settled = whole.p_value <= ALPHA or bool(settled)
    if is_settled and all(0 in mask for mask in masks):
        settled = sorted({0, *settled})
    rest = None
    if settled:
        others, left = without(masks, settled), num_blocks - len(settled)
        rest = mask_agreement(others, left, samples=samples, generator=generator)
    answer: Answer = "draw"
    if is_settled:
        answer = "finding" if rest is None or rest.p_value <= ALPHA else "partly"
    return Consensus(answer=answer, settled=settled, whole=whole, rest=rest)


def _least_p_value(masks: Sequence[Sequence[int]], num_blocks: int) -> float:
    """How often random masks would be as alike as masks can be: with one size, all equal."""
    counts = sorted(comb(num_blocks, len(mask)) for mask in masks if mask)
    return 1.0 / prod(counts[:-1])


def judge(
    stability: Stability, *, samples: int, generator: np.random.Generator
) -> Judgement | None:
    """Are the search's masks, over all settings, a finding or a draw, see `consensus`?

    Other: one of both, but the run's own choice, made after healing, shares less than half with
    them (Jaccard) and could be a random mask, or lacks a settled block. None: too few settings.
    """
    masks, number = [setting.masks[SEARCH] for setting in stability.settings], stability.num_blocks
    found = consensus(masks, number, samples=samples, generator=generator)
    if found is None:
        return None
    chosen = agreement_with(stability.keep, masks, number, samples=samples, generator=generator)
    answer = found.answer
    if answer != "draw":
        is_near = chosen.p_value <= ALPHA or chosen.jaccard >= MOSTLY - ROUNDING
        if answer == "partly":
            is_near = set(found.settled) <= set(stability.keep)
        answer = answer if is_near else "other"
    return Judgement(**{**vars(found), "answer": answer}, chosen=chosen)


def settings_along(stability: Stability, axis: Axis) -> list[Setting]:
    """The settings to compare along one axis; a shorter horizon also with the run's own."""
    found = [setting for setting in stability.settings if setting.axis == axis]
    if found and axis == "horizon":
        found += [setting for setting in stability.settings if setting.axis == "calibration"][:1]
    return found

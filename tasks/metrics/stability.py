"""Are these the layers, or would another draw have given others? Agreement over settings.

A setting is one change of what must not matter: other calibration windows, half of the training
period, training seed, horizon. Masks are compared by Jaccard's index with random masks of the same
sizes, scores by Kendall's tau with random orders.
"""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from math import comb, prod
from typing import Literal

import numpy as np
from jaxtyping import Bool, Float64
from scipy import stats

from tasks.artifacts.files import Artifact
from tasks.masks.mask import Mask, top_mask
from tasks.sections.search import Granularity

Axis = Literal["calibration", "period", "seed", "horizon"]
Answer = Literal["finding", "partly", "other", "draw"]

SEARCH = "search"  # the source of masks that is no score
ALPHA = 0.05
MOSTLY = 0.5  # Jaccard's index
ROUNDING = 1e-9
SAMPLES = 2000  # random masks and orders


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


class Agreement(Artifact):
    """How alike several masks are, and how alike random masks of the same sizes would be."""

    count: int
    jaccard: float  # mean over all pairs; 1 = the same blocks, 0 = none in common
    by_chance: float  # its expectation over random masks
    p_value: float  # share of random masks that agree at least as much


class RankAgreement(Artifact):
    """How alike several orders of the blocks are."""

    tau: float  # Kendall's tau-b, mean over all pairs; 0 by chance
    p_value: float  # share of random orders that agree at least as much


def setting_of(
    axis: Axis, label: str, search: Sequence[int], scores: dict[str, list[float]]
) -> Setting:
    """A setting from the mask that a search found and the scores; their masks are as large."""
    masks = {SEARCH: list(search)}
    masks |= {name: list(top_mask(values, len(search))) for name, values in scores.items()}
    return Setting(axis=axis, label=label, masks=masks, scores=scores)


def jaccard(first: Sequence[int], second: Sequence[int]) -> float:
    """Size of the intersection over size of the union (Jaccard 1901); 1 for two empty masks."""
    union = len(set(first) | set(second))
    return len(set(first) & set(second)) / union if union else 1.0


def expected_jaccard(num_blocks: int, first: int, second: int) -> float:
    """The expectation of Jaccard's index of two random masks of these sizes.

    Their intersection is hypergeometric.
    """
    if first + second == 0:
        return 1.0
    shared = np.arange(min(first, second) + 1)
    weights = stats.hypergeom.pmf(shared, num_blocks, first, second)
    return float((weights * shared / (first + second - shared)).sum())


def mask_agreement(
    masks: Sequence[Sequence[int]],
    num_blocks: int,
    *,
    samples: int,
    generator: np.random.Generator,
) -> Agreement | None:
    """The mean Jaccard index of all pairs of masks against that of random masks.

    The p-value is exact for two masks (hypergeometric) and by `samples` random draws for more.

    Returns:
        None for fewer than two masks that hold a block.
    """
    masks = [mask for mask in masks if mask]
    pairs = list(itertools.combinations(masks, 2))
    if not pairs:
        return None
    observed = float(np.mean([jaccard(*pair) for pair in pairs]))
    expected = [expected_jaccard(num_blocks, len(a), len(b)) for a, b in pairs]
    if len(pairs) == 1:
        first, second = masks
        shared = len(set(first) & set(second))
        p_value = float(stats.hypergeom.sf(shared - 1, num_blocks, len(first), len(second)))
    else:
        drawn = _random_masks([len(mask) for mask in masks], num_blocks, samples, generator)
        count = int(np.sum(mean_jaccard(drawn) >= observed - ROUNDING))
        p_value = (1 + count) / (1 + samples)
    return Agreement(
        count=len(masks), jaccard=observed, by_chance=float(np.mean(expected)), p_value=p_value
    )


def agreement_with(
    keep: Sequence[int],
    masks: Sequence[Sequence[int]],
    num_blocks: int,
    *,
    samples: int,
    generator: np.random.Generator,
) -> Agreement:
    """The mean Jaccard index of one mask with others, against that of random masks of its size.

    The others stay as they are, so the p-value says whether this mask is near to them.
    """
    observed = float(np.mean([jaccard(keep, mask) for mask in masks]))
    expected = [expected_jaccard(num_blocks, len(keep), len(mask)) for mask in masks]
    fixed = np.array([[block in mask for block in range(num_blocks)] for mask in masks])
    drawn = _random_masks([len(keep)], num_blocks, samples, generator)
    shared = drawn[:, 0].astype(np.float64) @ fixed.T  # [samples, masks]
    found = (shared / (len(keep) + fixed.sum(axis=1) - shared)).mean(axis=1)
    count = int(np.sum(found >= observed - ROUNDING))
    return Agreement(
        count=len(masks) + 1,
        jaccard=observed,
        by_chance=float(np.mean(expected)),
        p_value=(1 + count) / (1 + samples),
    )


def _random_masks(
    sizes: Sequence[int], num_blocks: int, samples: int, generator: np.random.Generator
) -> Bool[np.ndarray, "samples masks blocks"]:
    order = generator.random((samples, len(sizes), num_blocks)).argsort(axis=2).argsort(axis=2)
    found: Bool[np.ndarray, "samples masks blocks"] = order < np.asarray(sizes)[None, :, None]
    return found


def mean_jaccard(
    masks: Bool[np.ndarray, "samples masks blocks"],
) -> Float64[np.ndarray, " samples"]:
    """Jaccard's index, mean over all pairs of the masks of a sample; none is empty."""
    shared = np.einsum("smb,snb->smn", *[masks.astype(np.float64)] * 2)
    sizes = masks.sum(axis=2)
    union = sizes[:, :, None] + sizes[:, None, :] - shared
    first, second = np.triu_indices(masks.shape[1], k=1)
    found: Float64[np.ndarray, " samples"] = (shared / union)[:, first, second].mean(axis=1)
    return found


def without(masks: Sequence[Sequence[int]], aside: Sequence[int]) -> list[Mask]:
    """The masks with some blocks set aside."""
    return [tuple(block for block in mask if block not in aside) for mask in masks]


def settled_blocks(
    masks: Sequence[Sequence[int]],
    num_blocks: int,
    *,
    samples: int,
    generator: np.random.Generator,
) -> list[int]:
    """The blocks that are in more masks than the most frequent block of random masks would be.

    In more than 5 % of draws of random masks of the same sizes none gets there, so all of these
    blocks together are a finding at that level.
    """
    counts = np.array([sum(block in mask for mask in masks) for block in range(num_blocks)])
    drawn = _random_masks([len(mask) for mask in masks], num_blocks, samples, generator)
    highest = drawn.sum(axis=1).max(axis=1)  # [samples]
    p_values = (1 + (highest[:, None] >= counts).sum(axis=0)) / (1 + samples)
    return [int(block) for block in np.flatnonzero(p_values <= ALPHA)]


def rank_agreement(
    values: Sequence[Sequence[float]], *, samples: int, generator: np.random.Generator
) -> RankAgreement | None:
    """Kendall's (1945) tau-b between all pairs of orders, by permutation.

    Returns:
        None for fewer than two rows, or where a row's values are all the same.
    """
    rows = np.asarray(values, dtype=np.float64)
    if len(rows) < 2 or (rows == rows[:, :1]).all(axis=1).any():
        return None
    observed = _mean_tau(rows[None])[0]
    drawn = generator.permuted(np.broadcast_to(rows, (samples, *rows.shape)), axis=2)
    count = int(np.sum(_mean_tau(drawn) >= observed - ROUNDING))
    return RankAgreement(tau=float(observed), p_value=(1 + count) / (1 + samples))


def _mean_tau(rows: Float64[np.ndarray, "samples rows blocks"]) -> Float64[np.ndarray, " samples"]:
    """Mean tau-b over pairs of rows: the cosine of the signs of all differences between blocks."""
    first, second = np.triu_indices(rows.shape[2], k=1)
    signs = np.sign(rows[:, :, first] - rows[:, :, second])
    signs /= np.linalg.norm(signs, axis=2, keepdims=True)
    count = rows.shape[1]
    found: Float64[np.ndarray, " samples"] = (np.square(signs.sum(axis=1)).sum(axis=1) - count) / (
        count * (count - 1)
    )
    return found


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

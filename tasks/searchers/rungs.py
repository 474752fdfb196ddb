"""Successive halving of masks: who enters, who survives a rung, which mask is chosen."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
import pandas as pd
from scipy.stats import kendalltau

from tasks.masks.mask import Mask, format_mask, parse_mask


@dataclass(frozen=True)
class Entry:
    """A mask at the foot of the ladder: where it came from, its error before healing, its cost."""

    mask: Mask
    source: str
    unhealed: float
    cost: float


def pick_candidates(trials: pd.DataFrame, top: int, own: Sequence[Mask]) -> list[Entry]:
    """Of each size the `top` best unhealed masks and, where they were measured, scores' own masks.

    Scores stay in because the error before healing misleads: the best unhealed mask is often not
    the best healed one.

    Args:
        trials: fully measured, see `trials_frame`.
        top: how many of each size.
        own: the scores' masks (`search.heal_scores`), of any sizes.
    """
    names = [format_mask(mask) for mask in own]
    unique = trials.drop_duplicates("keep")
    entries: list[Entry] = []
    for _, group in unique.groupby("num_kept"):
        best = group.nsmallest(top, "valid_mse")
        scored = group[group["keep"].isin(names) & ~group["keep"].isin(best["keep"])]
        for row in pd.concat([best, scored]).itertuples():
            entries.append(
                Entry(parse_mask(str(row.keep)), str(row.source), row.valid_mse, row.cost)  # type: ignore[arg-type]
            )
    return entries


def rank_correlation(before: Sequence[float], after: Sequence[float]) -> float | None:
    """Kendall's tau between two rankings of the same masks; None where it is not defined."""
    if len(before) < 2 or any(len(set(values)) == 1 for values in (before, after)):
        return None
    return float(kendalltau(before, after).statistic)


def correlation_within_sizes(
    before: Mapping[Mask, float], after: Mapping[Mask, float]
) -> float | None:
    """Kendall's tau over the pairs of masks of one size; None where there is no such pair.

    tau = mean over pairs of sign(before_i - before_j) * sign(after_i - after_j), from -1 to 1, a
    tie counting 0. Pairs of different sizes are left out: that more blocks are better is known,
    and would make any two rankings look alike. Only masks of `after` count.
    """
    pairs = [(a, b) for a, b in combinations(after, 2) if len(a) == len(b)]
    signs = [_sign(before[a], before[b]) * _sign(after[a], after[b]) for a, b in pairs]
    return float(np.mean(signs)) if signs else None


def _sign(one: float, other: float) -> int:
    """Of the difference of two errors, which may both be infinite."""
    return (one > other) - (one < other)


def survivors(errors: Mapping[Mask, float], tau: float | None) -> list[Mask]:
    """The masks that climb on: the best (1 - tau) / 2 of each size, rounded up, at least one.

    (1 - tau) / 2 is the share of pairs whose order this rung has turned round. Where the ranking
    has settled (tau 1) the best of each size is known; where it was reversed (tau -1) short
    healing tells nothing and all must be healed longer. Without a tau it is taken as 0.
    Successive halving (Jamieson & Talwalkar 2016, arXiv 1502.07943) halves by rule; the rule
    from the correlation is ours.
    """
    share = (1 - (tau or 0.0)) / 2
    ordered = sorted(errors, key=lambda mask: (len(mask), errors[mask], mask))
    chosen: list[Mask] = []
    for size in dict.fromkeys(len(mask) for mask in ordered):
        group = [mask for mask in ordered if len(mask) == size]
        chosen += group[: max(1, math.ceil(share * len(group) - 1e-9))]
    return chosen


def choose(healed: dict[Mask, float], full_error: float, margin: float) -> tuple[Mask, bool, str]:
    """The smallest mask whose healed error is within the margin, else the best one.

    Args:
        healed: fully healed validation error by mask.
        full_error: the full model's validation error.
        margin: relative, for example 0.02.

    Returns:
        The mask, whether it is within the margin, and the reason in one sentence.
    """
    limit = full_error * (1 + margin)
    ordered = sorted(healed, key=lambda mask: (len(mask), healed[mask], mask))
    for mask in ordered:
        if healed[mask] <= limit:
            return (
                mask,
                True,
                (
                    f"the smallest mask whose healed validation error ({healed[mask]:.4f}) is "
                    f"within {margin:.0%} of the full model's ({full_error:.4f})"
                ),
            )
    best = min(ordered, key=lambda mask: healed[mask])
    return (
        best,
        False,
        (
            f"no mask came within {margin:.0%} of the full model's validation error "
            f"({full_error:.4f}); this is the best of the front ({healed[best]:.4f})"
        ),
    )

"""Candidates climb rungs: measured unhealed, healed briefly, the best of each size healed fully."""

from collections.abc import Sequence
from dataclasses import dataclass

import pandas as pd
from scipy.stats import kendalltau

from tasks.masks.mask import Mask, parse_mask


@dataclass(frozen=True)
class Entry:
    """A mask on its way: where it came from and its errors so far."""

    mask: Mask
    source: str
    unhealed: float
    cost: float


def pick_candidates(trials: pd.DataFrame, top: int, scores: Sequence[str]) -> list[Entry]:
    """Of each size the `top` best unhealed masks and every score's own mask.

    Scores stay in because the error before healing misleads: the best unhealed mask is often not
    the best healed one.
    """
    unique = trials.drop_duplicates("keep")
    entries: list[Entry] = []
    for _, group in unique.groupby("num_kept"):
        best = group.nsmallest(top, "valid_mse")
        scored = group[group["source"].isin(scores) & ~group["keep"].isin(best["keep"])]
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

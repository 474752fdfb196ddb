"""How alike masks and orders of blocks are, against random ones.

Masks are compared by Jaccard's index with random masks of the same sizes, scores by Kendall's tau
with random orders.
"""

import itertools
from collections.abc import Sequence

import numpy as np
from jaxtyping import Bool, Float64
from scipy import stats

from tasks.artifacts.files import Artifact

ALPHA = 0.05
ROUNDING = 1e-9
SAMPLES = 2000  # random masks and orders


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
    """Jaccard's index, mean over all pairs of the masks of a sample; 1 for two empty masks."""
    shared = np.einsum("smb,snb->smn", *[masks.astype(np.float64)] * 2)
    sizes = masks.sum(axis=2)
    union = sizes[:, :, None] + sizes[:, None, :] - shared
    first, second = np.triu_indices(masks.shape[1], k=1)
    ratio = np.where(union > 0, shared / np.maximum(union, 1), 1.0)
    found: Float64[np.ndarray, " samples"] = ratio[:, first, second].mean(axis=1)
    return found


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

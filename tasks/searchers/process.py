"""A Gaussian process over masks: what the measured ones say of the others.

A mask is a set of positions in the stack, and blocks near each other do much the same, so masks
are compared by how their kept positions overlap when each is blurred over its neighbours. Where
kinds take turns (attention, MLP, attention, ...), neighbours of another kind count half.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float64
from scipy.linalg import cho_solve, cholesky, solve_triangular
from scipy.stats import norm

from tasks.masks.mask import Mask

NOISE = 1e-2  # of the variance: what positions alone cannot tell
BLUR = 1 / 6  # of the depth: the standard deviation of a blurred position
OTHER_KIND = 0.5  # of what a neighbour counts, where it is of another kind

Values = Float64[np.ndarray, " masks"]


def similarity(
    first: Sequence[Mask], second: Sequence[Mask], num_blocks: int, num_kinds: int = 1
) -> Float64[np.ndarray, "first second"]:
    """The cosine of two masks' blurred positions, 1 for equal masks; none may be empty.

    Every kept block is a Gaussian bump at its position; a mask is the sum of its bumps, and the
    result is the cosine between two such sums (a normalised kernel between sets). Of
    `num_kinds` kinds of blocks that take turns, the bumps of different ones overlap less.
    """
    places = np.arange(num_blocks)
    width = max(1.0, BLUR * num_blocks)
    apart = places[:, None] - places[None]
    near = np.exp(-(apart**2) / (2 * width**2))
    near = np.where(apart % num_kinds == 0, near, OTHER_KIND * near)
    left, right = _indicators(first, num_blocks), _indicators(second, num_blocks)
    lengths = [np.sqrt(np.einsum("mi,ij,mj->m", side, near, side)) for side in (left, right)]
    cosine: Float64[np.ndarray, "first second"] = left @ near @ right.T / np.outer(*lengths)
    return cosine


def _indicators(masks: Sequence[Mask], num_blocks: int) -> Float64[np.ndarray, "masks blocks"]:
    table = np.zeros((len(masks), num_blocks))
    for row, mask in enumerate(masks):
        table[row, list(mask)] = 1.0
    return table


@dataclass(frozen=True)
class Forecast:
    """What is expected of masks, in standard deviations of the measured log errors."""

    mean: Values
    deviation: Values
    best: float  # the lowest measured one

    def expected_improvement(self) -> Values:
        """How much below the best a mask is expected to come (Jones et al. 1998, eq. 15)."""
        gap = self.best - self.mean
        score = gap / self.deviation
        improvement: Values = gap * norm.cdf(score) + self.deviation * norm.pdf(score)
        return improvement


class MaskProcess:
    """Logarithms of errors as a Gaussian process with the kernel 1 + similarity."""

    def __init__(
        self,
        masks: Sequence[Mask],
        errors: Sequence[float],
        num_blocks: int,
        num_kinds: int = 1,
    ) -> None:
        """`errors` are positive; at least two masks."""
        logs = np.log(np.asarray(errors, dtype=np.float64))
        self.masks, self.num_blocks, self.num_kinds = list(masks), num_blocks, num_kinds
        self.middle, self.spread = float(logs.mean()), float(logs.std()) or 1.0
        self.targets: Values = (logs - self.middle) / self.spread
        kernel = 1 + similarity(self.masks, self.masks, num_blocks, num_kinds)
        self.factor = cholesky(kernel + NOISE * np.eye(len(self.masks)), lower=True)
        self.weights = cho_solve((self.factor, True), self.targets)
        # the variance that makes the measured errors most likely
        self.scale = max(float(self.targets @ self.weights) / len(self.masks), 1e-12)

    def forecast(self, masks: Sequence[Mask]) -> Forecast:
        """Mean and standard deviation of other masks."""
        cross = 1 + similarity(masks, self.masks, self.num_blocks, self.num_kinds)
        explained = np.square(solve_triangular(self.factor, cross.T, lower=True)).sum(0)
        variance = self.scale * np.maximum(2 - explained, 1e-12)
        return Forecast(cross @ self.weights, np.sqrt(variance), float(self.targets.min()))

    def expected_errors(self, masks: Sequence[Mask]) -> Values:
        """The errors whose logarithms are the means."""
        errors: Values = np.exp(self.middle + self.spread * self.forecast(masks).mean)
        return errors

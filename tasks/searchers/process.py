"""A Gaussian process over masks: what the measured ones say of the others.

Masks are alike when they keep blocks at nearby positions of the stack; where wanted, they must
also jump alike from one kept block to the next. Blocks near each other do much the same, so
positions are blurred over their neighbours. Where kinds take turns (attention, MLP, attention,
...), neighbours of another kind count half.
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
ROUNDING = 1e-12  # of the greatest dimension of blurred positions: less is not told apart
OTHER_KIND = 0.5  # of what a neighbour counts, where it is of another kind

Values = Float64[np.ndarray, " masks"]
Vectors = Float64[np.ndarray, "masks dims"]
Places = Float64[np.ndarray, "blocks+2 dims"]


class MaskKernel:
    """How alike masks are, 1 for equal ones.

    Every kept block is a Gaussian bump at its position; a mask is the sum of its bumps, and the
    result is the cosine between two such sums (a normalised kernel between sets). With `jumps` it
    is multiplied by the same of the jumps from each kept block, or the input, to the next, or the
    output: bumps at pairs of positions. Of `num_kinds` kinds of blocks that take turns, the bumps
    of different ones overlap less.
    """

    def __init__(self, num_blocks: int, num_kinds: int = 1, *, jumps: bool = False) -> None:
        self.places, self.jumps = _places(num_blocks, num_kinds), jumps

    def vectors(self, masks: Sequence[Mask]) -> list[Vectors]:
        """Unit vectors of the masks, of which none may be empty: by positions, and by jumps."""
        kept = _unit([self.places[1:-1][list(mask)].sum(0) for mask in masks])
        return [kept, _unit([self._jumps(mask) for mask in masks])] if self.jumps else [kept]

    def _jumps(self, mask: Mask) -> Float64[np.ndarray, " dims"]:
        stops = self.places[[0, *(block + 1 for block in mask), -1]]
        pairs: Float64[np.ndarray, " dims"] = (stops[:-1].T @ stops[1:]).ravel()
        return pairs


def similarity(
    first: Sequence[Vectors], second: Sequence[Vectors]
) -> Float64[np.ndarray, "first second"]:
    """The product of the cosines between the vectors of one kernel, for every two masks."""
    products = [one @ other.T for one, other in zip(first, second, strict=True)]
    alike: Float64[np.ndarray, "first second"] = np.prod(products, axis=0)
    return alike


def _places(num_blocks: int, num_kinds: int) -> Places:
    """A vector per position, input and output included, whose products are the bumps' overlaps."""
    positions = np.arange(-1, num_blocks + 1)
    apart = positions[:, None] - positions[None]
    near = np.exp(-(apart**2) / (2 * max(1.0, BLUR * num_blocks) ** 2))
    near = np.where(apart % num_kinds == 0, near, OTHER_KIND * near)
    sizes, axes = np.linalg.eigh(near)
    told = sizes > ROUNDING * sizes.max()  # blurred, a deep stack has few dimensions
    places: Places = axes[:, told] * np.sqrt(sizes[told])
    return places


def _unit(rows: Sequence[Float64[np.ndarray, " dims"]]) -> Vectors:
    table: Vectors = np.stack(rows)
    table /= np.linalg.norm(table, axis=1, keepdims=True)
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
        *,
        jumps: bool = False,
    ) -> None:
        """`errors` are positive; at least two masks."""
        logs = np.log(np.asarray(errors, dtype=np.float64))
        self.kernel = MaskKernel(num_blocks, num_kinds, jumps=jumps)
        self.vectors = self.kernel.vectors(masks)
        self.middle, self.spread = float(logs.mean()), float(logs.std()) or 1.0
        self.targets: Values = (logs - self.middle) / self.spread
        covariance = 1 + similarity(self.vectors, self.vectors)
        self.factor = cholesky(covariance + NOISE * np.eye(len(masks)), lower=True)
        self.weights = cho_solve((self.factor, True), self.targets)
        # the variance that makes the measured errors most likely
        self.scale = max(float(self.targets @ self.weights) / len(masks), 1e-12)

    def forecast(self, masks: Sequence[Mask]) -> Forecast:
        """Mean and standard deviation of other masks."""
        cross = 1 + similarity(self.kernel.vectors(masks), self.vectors)
        explained = np.square(solve_triangular(self.factor, cross.T, lower=True)).sum(0)
        variance = self.scale * np.maximum(2 - explained, 1e-12)
        return Forecast(cross @ self.weights, np.sqrt(variance), float(self.targets.min()))

    def expected_errors(self, masks: Sequence[Mask]) -> Values:
        """The errors whose logarithms are the means."""
        errors: Values = np.exp(self.middle + self.spread * self.forecast(masks).mean)
        return errors

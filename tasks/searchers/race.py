"""A race over windows: a mask that is clearly worse than others of its size is stopped early.

Every mask is to be judged by its mean error on one fixed set of windows, so that set is the whole
population and drawing from it at random is the only source of chance: that windows overlap in
time, or that channels move together, does not matter. Three things make few windows enough.

* Pairs. Masks are compared on the same windows, by the difference of their errors.
* Draws by size. A few pilot masks are measured on all windows. A window is drawn with a chance
  that grows with the pilots' disagreement on it, because there the ranking is decided. Squared
  errors are so skewed that one window in a hundred can decide it; such windows come first.
* An estimate for draws without replacement (Des Raj 1956, J. Am. Stat. Assoc. 51). If y_1 .. y_n
  are the errors of the windows in the order of their drawing, q_i their chances and
  R_i = 1 - q_1 - .. - q_(i-1), then t_i = y_1 + .. + y_(i-1) + y_i R_i / q_i is an unbiased
  estimate of the sum over all windows whatever came before, so the t_i - E t_i are martingale
  differences, as a sequential test needs. Their spread falls with R_i, hence weights 1 / R_i^2.

Optuna's WilcoxonPruner tests the median of the differences at every step at the same level; here
the mean decides, and looking often must not raise the chance of a wrong stop.
"""

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float64, Int64
from scipy import stats

from tasks.masks.mask import Mask
from tasks.searchers.evaluator import MaskEvaluator

LOOK = 32  # windows between two looks
PILOTS = (4, 16)  # least and most pilot masks; a sixteenth of the masks in between
UNIFORM = 0.2  # share of equal chances, for windows on which the pilots agree by accident

Places = Int64[np.ndarray, " some"]
Rows = Float64[np.ndarray, "masks windows"]


@dataclass(frozen=True, kw_only=True)
class Race:
    """What a race found.

    Attributes:
        errors: validation MSE of every mask: measured on all windows, or, of a stopped mask, the
            error of the best survivor of its size plus the estimated difference to it.
        windows: on how many windows each mask was measured.
        num_windows: how many there are; a mask measured on as many has its exact error.
    """

    errors: dict[Mask, float]
    windows: dict[Mask, int]
    num_windows: int

    @property
    def evaluations(self) -> int:
        """Pairs of mask and window that were measured."""
        return sum(self.windows.values())

    @property
    def share(self) -> float:
        """Evaluations over those of measuring every mask on all windows."""
        return self.evaluations / max(1, len(self.windows) * self.num_windows)

    def is_exact(self, mask: Mask) -> bool:
        """Whether the mask was measured on all windows."""
        return self.windows[mask] == self.num_windows


def race(
    evaluator: MaskEvaluator,
    masks: Sequence[Mask],
    *,
    top: int,
    alpha: float,
    seed: int,
    at_look: Callable[[], None] = lambda: None,
) -> Race:
    """Finds the `top` best masks of every size without measuring all masks on all windows.

    A mask is stopped at a look when `top` masks of its size are each better by a one-sided paired
    t-test at the level alpha / (looks * masks of the size). By the union bound over looks and
    rivals, each of the truly `top` best is stopped with a chance of at most alpha (as far as the
    t-distribution holds for the weighted mean).

    Args:
        evaluator: its model and windows; its memo is not read, but gets the exact errors.
        masks: of any sizes; one that comes twice is measured once.
        top: how many of each size are wanted.
        alpha: chance of losing any one of them; smaller stops later.
        seed: of the pilots and of the draws; the result depends on it and the arguments alone.
        at_look: is called at every look, as a sign of life.
    """
    field = _Field(evaluator, masks, np.random.default_rng(seed))
    looks = range(LOOK, field.num_windows - LOOK + 1, LOOK)
    for start, look in itertools.pairwise((0, *looks, field.num_windows)):
        field.run(start, look)
        at_look()
        if look < field.num_windows:
            for group in field.groups:
                field.stop(group, look, top=top, level=alpha / (len(looks) * len(group)))
    errors = field.errors(top)
    found = Race(
        errors=dict(zip(field.masks, errors, strict=True)),
        windows=dict(zip(field.masks, map(int, field.seen), strict=True)),
        num_windows=field.num_windows,
    )
    for mask, error in found.errors.items():
        if found.is_exact(mask):
            evaluator.memo.setdefault(mask, error)
    return found


class _Field:
    """The masks of a race and what was measured of them so far.

    Attributes:
        groups: the places of the masks of each size.
        order: the windows as they were drawn, and their chances in this order.
        sums: squared errors by mask and drawn window; 0 where not measured.
        seen: on how many windows each mask was measured.
        alive: which masks were not stopped.
    """

    def __init__(
        self, evaluator: MaskEvaluator, masks: Sequence[Mask], generator: np.random.Generator
    ) -> None:
        self.evaluator, self.masks = evaluator, list(dict.fromkeys(masks))
        self.num_windows = len(evaluator.target)
        sizes = np.array([len(mask) for mask in self.masks], dtype=np.int64)
        self.groups = [np.flatnonzero(sizes == size) for size in np.unique(sizes)]
        count = min(len(sizes), max(PILOTS[0], min(PILOTS[1], len(sizes) // 16)))
        pilots = np.sort(generator.choice(len(sizes), count, replace=False))
        measured = self._measure(pilots, np.arange(self.num_windows))
        self.order, self.chances = draw_windows(measured, generator)
        self.sums = np.zeros((len(sizes), self.num_windows))
        self.sums[pilots] = measured[:, self.order]
        self.seen = np.zeros(len(sizes), dtype=np.int64)
        self.seen[pilots] = self.num_windows
        self.alive = np.ones(len(sizes), dtype=np.bool_)

    def _measure(self, places: Places, windows: Places) -> Rows:
        masks = [self.masks[place] for place in places]
        rows: Rows = self.evaluator.measure(masks, torch.from_numpy(windows)).numpy()
        return rows

    def run(self, start: int, look: int) -> None:
        """Measures the masks that are left on the next windows."""
        running = np.flatnonzero(self.alive & (self.seen < self.num_windows))
        self.sums[running, start:look] = self._measure(running, self.order[start:look])
        self.seen[running] = look

    def stop(self, group: Places, look: int, *, top: int, level: float) -> None:
        """Stops those of a group to which `top` others are clearly better."""
        running = group[self.alive[group]]
        totals, weights = estimates_of_total(self.sums[running, :look], self.chances)
        self.alive[running[clearly_worse(totals, weights, top=top, level=level)]] = False

    def errors(self, top: int) -> list[float]:
        """The errors of all masks, exact or estimated."""
        points = max(1, int(torch.isfinite(self.evaluator.target).sum()))
        natural = np.argsort(self.order)
        sums = torch.from_numpy(self.sums[:, natural])
        errors = np.array([self.evaluator.mean_of(row) for row in sums])
        for group in self.groups:
            best = group[self.alive[group]]
            best = best[np.argsort(errors[best], kind="stable")][:top]
            for place in group[self.seen[group] < self.num_windows]:
                pair = self.sums[[place, best[0]], : self.seen[place]]
                totals, weights = estimates_of_total(pair, self.chances)
                gap = float((totals[0] - totals[1]) @ weights) / points
                behind = np.nextafter(errors[best[-1]], np.inf)
                errors[place] = max(errors[best[0]] + gap, behind)
        return [float(error) for error in errors]


def draw_windows(
    pilots: Rows, generator: np.random.Generator
) -> tuple[Places, Float64[np.ndarray, " windows"]]:
    """The windows in a random order, drawn one by one with unequal chances, and these chances.

    A chance is proportional to the standard deviation of the pilots' errors on the window, mixed
    with equal chances. Sorting exponential times of these rates draws one by one among those left
    (Efraimidis and Spirakis 2006).
    """
    spread = pilots.std(axis=0)
    total = spread.sum()
    equal = np.full(len(spread), 1 / max(1, len(spread)))
    chances = (1 - UNIFORM) * spread / total + UNIFORM * equal if total > 0 else equal
    order = np.argsort(generator.exponential(size=len(chances)) / chances, kind="stable")
    return order, chances[order]


def estimates_of_total(
    sums: Float64[np.ndarray, "masks seen"], chances: Float64[np.ndarray, " windows"]
) -> tuple[Float64[np.ndarray, "masks seen"], Float64[np.ndarray, " seen"]]:
    """Des Raj's estimates t_i of each mask's sum over all windows, and their weights (sum 1).

    Args:
        sums: of the windows seen, in the order of their drawing.
        chances: of all windows in that order; they sum to 1.
    """
    seen = sums.shape[1]
    remaining = np.cumsum(chances[::-1])[::-1][:seen]  # R_i; from the end, so never negative
    before = np.cumsum(sums, axis=1) - sums
    weights = (remaining[0] / remaining) ** 2
    return before + sums * (remaining / chances[:seen]), weights / weights.sum()


def clearly_worse(
    totals: Float64[np.ndarray, "masks seen"],
    weights: Float64[np.ndarray, " seen"],
    *,
    top: int,
    level: float,
) -> Bool[np.ndarray, " masks"]:
    """Which masks are worse than each of the `top` best by a paired t-test at this level.

    The degrees of freedom are those of the effective number of estimates, 1 / sum of weights^2.
    """
    effective = 1 / float((weights**2).sum())
    if len(totals) <= top or effective <= 2:
        return np.zeros(len(totals), dtype=np.bool_)
    critical = float(stats.t.isf(level, effective - 1))
    worse = np.ones(len(totals), dtype=np.bool_)
    for leader in np.argsort(totals @ weights, kind="stable")[:top]:
        gaps = totals - totals[leader]
        means = gaps @ weights
        squares = (gaps - means[:, None]) ** 2 @ weights**2
        worse &= means > critical * np.sqrt(squares * effective / (effective - 1))
    return worse

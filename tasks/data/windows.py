"""Windows of context + horizon values as views on a SeriesSet."""

from collections.abc import Callable

import numpy as np
import torch
from jaxtyping import Float, Int64
from torch import Tensor

from tasks.data.series import Series, SeriesSet
from tasks.errors import DataError


class WindowSet:
    """An ordered set of windows; window i starts at `starts(i)` of the shared array.

    No window is stored: `batch` indexes one strided view, so only the rows asked for are copied.
    """

    def __init__(
        self,
        values: Tensor,
        *,
        first: Int64[np.ndarray, " series"],
        counts: Int64[np.ndarray, " series"],
        context: int,
        horizon: int,
        stride: int = 1,
        weights: Float[np.ndarray, " series"] | None = None,
    ) -> None:
        """Windows of series s start at first[s], first[s] + stride, ... (counts[s] of them)."""
        self.context, self.horizon, self.stride = context, horizon, stride
        self.view = values.unfold(0, context + horizon, 1)  # [starts, context + horizon]
        self.first = torch.from_numpy(first)
        self.counts = torch.from_numpy(counts)
        self.ends = torch.cumsum(self.counts, 0)
        self.weights = None if weights is None else torch.from_numpy(weights).double()

    def __len__(self) -> int:
        return int(self.ends[-1]) if len(self.ends) else 0

    def locate(self, index: Int64[Tensor, " batch"]) -> tuple[Tensor, Tensor]:
        """The series of each window, and its place among the windows of that series."""
        series = torch.searchsorted(self.ends, index, right=True)
        return series, index - (self.ends - self.counts)[series]

    def batch(self, index: Int64[Tensor, " batch"]) -> Float[Tensor, "batch context+horizon"]:
        """The values of these windows; NaN = missing."""
        series, place = self.locate(index)
        return self.view[self.first[series] + place * self.stride]

    def draw(self, count: int, generator: torch.Generator) -> Int64[Tensor, " count"]:
        """Random windows with replacement: uniform, or by series weight and then uniform."""
        if self.weights is None:
            return torch.randint(len(self), (count,), generator=generator)
        series = torch.multinomial(self.weights, count, replacement=True, generator=generator)
        place = torch.rand(count, generator=generator, dtype=torch.float64) * self.counts[series]
        return (self.ends - self.counts)[series] + place.long()

    def spaced(self, count: int) -> Int64[Tensor, " count"]:
        """At most `count` windows, evenly spaced over all of them, the same at every call."""
        return spaced_numbers(len(self), count)


def spaced_numbers(total: int, count: int) -> Int64[Tensor, " count"]:
    """At most `count` of the numbers below `total`, evenly spaced, the first one 0."""
    if count >= total:
        return torch.arange(total)
    return (torch.arange(count, dtype=torch.float64) * (total / count)).long()


Range = Callable[[Series], tuple[int, int]]


def _windows(
    data: SeriesSet,
    context: int,
    horizon: int,
    ranges: Range,
    *,
    what: str,
    stride: int = 1,
    weight: Callable[[Series], float] | None = None,
) -> WindowSet:
    """Windows whose start lies in [low, high) of each series, `low, high = ranges(series)`."""
    first, counts, weights = [], [], []
    for one in data.series:
        low, high = ranges(one)
        count = max(0, -(-(high - low) // stride))
        first.append(one.start + low)
        counts.append(count)
        weights.append(weight(one) if weight and count else 0.0)
    if not sum(counts):
        ranges_ = [ranges(one) for one in data.series]
        usable = max((high - low + context + horizon - 1 for low, high in ranges_), default=0)
        raise DataError(
            f"no {what} window fits: windows.context {context} + windows.horizon {horizon} rows "
            f"are needed, the longest series has {max(0, usable)} for it; lower them in params.yaml"
            f"{', or raise training.train_share' if what == 'training' else ''}"
        )
    return WindowSet(
        torch.from_numpy(data.values),
        first=np.asarray(first, dtype=np.int64),
        counts=np.asarray(counts, dtype=np.int64),
        context=context,
        horizon=horizon,
        stride=stride,
        weights=np.asarray(weights) if weight else None,
    )


def training_windows(
    data: SeriesSet,
    context: int,
    horizon: int,
    *,
    share: float = 1.0,
    weight: Callable[[Series], float] | None = None,
) -> WindowSet:
    """Windows that end before the validation range, from the last `share` of the training rows.

    Where these rows are fewer than one window, contexts start up to half a context earlier, and
    what lies before the share counts as missing.

    Args:
        data: a dataset's history.
        context: rows a model sees.
        horizon: rows it forecasts.
        share: of the training rows; the last ones, because they are nearest to the future.
        weight: of each series when windows are drawn; None draws all windows alike.
    """

    def parts(one: Series) -> tuple[int, int]:
        """The first row of the share, and the rows before it that count as missing."""
        rows = round(one.train_end * share)
        before = one.train_end - rows
        return before, 0 if rows >= context + horizon else min(context // 2, before)

    def bounds(one: Series) -> tuple[int, int]:
        first, padding = parts(one)
        return first - padding, one.train_end - context - horizon + 1

    if any(parts(one)[1] for one in data.series):
        data = SeriesSet(data.values.copy(), data.series)
        for one in data.series:
            first, padding = parts(one)
            data.values[one.start + first - padding : one.start + first] = np.nan
    return _windows(data, context, horizon, bounds, what="training", weight=weight)


def validation_windows(
    data: SeriesSet, context: int, horizon: int, *, part: float = 1.0
) -> WindowSet:
    """The first `part` of the windows whose targets lie in the validation range.

    Their contexts may reach back into the training range, and the targets of the last ones reach
    up to one horizon beyond the part.
    """

    def bounds(one: Series) -> tuple[int, int]:
        low = max(0, one.train_end - context)
        high = one.length - context - horizon + 1
        return low, low + max(min(1, high - low), int((high - low) * part))

    return _windows(data, context, horizon, bounds, what="validation")


def test_windows(data: SeriesSet, context: int, horizon: int, *, stride: int) -> WindowSet:
    """All windows of a dataset's test file (which starts with one context of reach-back)."""

    def bounds(one: Series) -> tuple[int, int]:
        return 0, one.length - context - horizon + 1

    return _windows(data, context, horizon, bounds, what="test", stride=stride)

"""Runs forecasters over the same windows, one after the other, and keeps only their errors."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
import pandas as pd
import torch
from jaxtyping import Float, Float32, Float64, Int64
from torch import Tensor

from tasks.artifacts.evaluation import Errors
from tasks.data.windows import WindowSet
from tasks.errors import CheckpointError
from tasks.metrics.errors import ErrorSums

LARGEST = 1e15  # its square still fits float32

Forecaster = Callable[[Float[Tensor, "batch context"]], Float[Tensor, "batch horizon"]]


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """How one forecaster did on a set of windows."""

    errors: Errors
    per_step: Float64[np.ndarray, " horizon"]
    windows: Float32[np.ndarray, " windows"]  # mean squared error of each; NaN: no target
    samples: Float32[np.ndarray, "samples horizon"]  # its forecasts of the sample windows


class Panel:
    """Collects the outcome of every forecaster on the test windows, and its validation error.

    A forecaster maps contexts to forecasts on the scale of the data, both on the CPU. Only one
    needs to exist at a time, so the largest model bounds the memory, not the number of models.
    """

    def __init__(
        self,
        *,
        test: WindowSet,
        valid: WindowSet,
        valid_index: Int64[Tensor, " valid"],
        samples: Int64[Tensor, " samples"],
        scales: Float64[np.ndarray, " series"],
        batch_size: int,
        valid_mse: Mapping[str, float],
        advance: Callable[[str, int], None],
    ) -> None:
        """Starts with no outcome.

        Args:
            test: windows of the test range; all of them are forecast.
            valid: windows of the validation range.
            valid_index: which of them make the validation error where it is not known yet.
            samples: test windows whose forecasts are kept.
            scales: MASE scale of every series.
            batch_size: windows per batch.
            valid_mse: validation errors that are known.
            advance: called after each batch with the forecaster's name and its windows done.
        """
        self.test, self.valid, self.valid_index = test, valid, valid_index
        self.samples, self.scales, self.batch_size = samples, scales, batch_size
        self.valid_mse = dict(valid_mse)
        self.advance = advance
        self.outcomes: dict[str, Outcome] = {}

    @torch.inference_mode()
    def run(self, name: str, forecaster: Forecaster) -> None:
        """Runs one forecaster. Raises CheckpointError when a forecast is NaN or huge."""
        if name not in self.valid_mse:
            sums = ErrorSums(self.valid.horizon, self.scales)
            for part in torch.split(self.valid_index, self.batch_size):
                self._add(sums, name, forecaster, self.valid, part)
            self.valid_mse[name] = sums.errors().mse
        sums = ErrorSums(self.test.horizon, self.scales)
        by_window = []
        done = 0
        for part in torch.split(torch.arange(len(self.test)), self.batch_size):
            by_window.append(self._add(sums, name, forecaster, self.test, part).float())
            done += len(part)
            self.advance(name, done)
        contexts = self.test.batch(self.samples)[:, : self.test.context]
        self.outcomes[name] = Outcome(
            errors=sums.errors(),
            per_step=sums.per_step(),
            windows=torch.cat(by_window).numpy(),
            samples=forecaster(contexts).numpy() if len(contexts) else np.empty((0, 0), "f4"),
        )

    def name_full(self) -> Literal["full", "full_extra"]:
        """Names the full model with the lower validation error `full` and says which it is.

        The choice is between `full_untuned` (as `train` left it) and `full_extra`. The outcomes
        `full` and `pruned` come first after it.
        """
        is_extra = self.valid_mse["full_extra"] < self.valid_mse["full_untuned"]
        chosen = "full_extra" if is_extra else "full_untuned"
        pruned = self.outcomes.pop("pruned")
        self.outcomes = {"full": self.outcomes[chosen], "pruned": pruned} | self.outcomes
        self.valid_mse = {"full": self.valid_mse[chosen]} | self.valid_mse
        return "full_extra" if is_extra else "full"

    def _add(
        self, sums: ErrorSums, name: str, forecaster: Forecaster, windows: WindowSet, part: Tensor
    ) -> Tensor:
        """Adds the errors of one batch; returns the mean squared error of its windows."""
        window = windows.batch(part)
        forecast = forecaster(window[:, : windows.context])
        bad = int((~(forecast.abs() < LARGEST)).any(dim=1).sum())  # NaN is bad, too
        if bad:
            raise CheckpointError(
                f"forecasts must be numbers below {LARGEST:g} in size; {name} breaks this on "
                f"{bad} of {len(part)} windows; train it again with a lower learning rate"
            )
        return sums.add(forecast, window[:, windows.context :], windows.locate(part)[0])


def window_table(windows: WindowSet, *, batch_size: int) -> pd.DataFrame:
    """One row per window: its series, its place among that series' windows, observed targets."""
    index = torch.arange(len(windows))
    series, offset = windows.locate(index)
    points = [
        (~windows.batch(part)[:, windows.context :].isnan()).sum(dim=1)
        for part in torch.split(index, batch_size)
    ]
    columns = {"series": series, "offset": offset, "points": torch.cat(points)}
    return pd.DataFrame({name: column.int().numpy() for name, column in columns.items()})


def middles(windows: WindowSet, count: int) -> Int64[Tensor, " count"]:
    """The windows in the middle of `count` equal parts of all; fewer where there are fewer."""
    count = min(count, len(windows))
    return ((2 * torch.arange(count) + 1) * len(windows)) // (2 * max(1, count))

"""Masked forecast errors, summed batch by batch so that no forecast has to stay in memory."""

import numpy as np
import torch
from jaxtyping import Float, Float64, Int64
from torch import Tensor

from tasks.artifacts.evaluation import Errors
from tasks.data.series import SeriesSet
from tasks.errors import DataError


def seasonal_scales(data: SeriesSet, season: int) -> Float64[np.ndarray, " series"]:
    """The error of seasonal naive on each series' training range: mean |y_t - y_(t - season)|.

    The denominator of MASE (Hyndman and Koehler 2006), on scaled values and over the pairs that
    are both observed. NaN where it is zero (a constant series) or where there is no such pair:
    such a series has no MASE.
    """
    scales = np.full(len(data.series), np.nan)
    for index, one in enumerate(data.series):
        training = data.values[one.start : one.start + one.train_end].astype(np.float64)
        steps = np.abs(training[season:] - training[:-season])
        steps = steps[~np.isnan(steps)]
        if len(steps) and steps.mean() > 0:
            scales[index] = steps.mean()
    return scales


def missing_targets(test: SeriesSet) -> int:
    """Values missing in the test range (after each series' reach-back), each counted once."""
    return sum(
        int(np.isnan(test.values[one.start + one.train_end : one.start + one.length]).sum())
        for one in test.series
    )


class ErrorSums:
    """Running sums of one forecaster's errors. Missing targets (NaN) count nowhere.

    MSE, MAE: mean of e^2 and |e| over all observed points; lower is better; they grow with the
    square and the size of the data's scale. MASE: mean of |e| / scale of the series; lower is
    better, scale-free, 1 = as good as seasonal naive in sample.
    """

    def __init__(self, horizon: int, scales: Float64[np.ndarray, " series"]) -> None:
        """`scales` holds the MASE scale of every series; NaN leaves a series out of MASE."""
        self.squares = torch.zeros(horizon, dtype=torch.float64)
        self.points = torch.zeros(horizon, dtype=torch.float64)
        self.sizes = torch.zeros(len(scales), dtype=torch.float64)  # sum of |e| by series
        self.series_points = torch.zeros(len(scales), dtype=torch.float64)
        self.scales = torch.from_numpy(scales)

    def add(
        self,
        forecast: Float[Tensor, "batch horizon"],
        target: Float[Tensor, "batch horizon"],
        series: Int64[Tensor, " batch"],
    ) -> Float64[Tensor, " batch"]:
        """Adds a batch. Returns each window's mean squared error, NaN where nothing is observed."""
        observed = ~target.isnan()
        error = torch.where(observed, forecast.double() - target.double(), 0.0)
        squares = error.square()
        points = observed.sum(dim=1).double()
        self.squares += squares.sum(dim=0)
        self.points += observed.sum(dim=0)
        self.sizes.index_add_(0, series, error.abs().sum(dim=1))
        self.series_points.index_add_(0, series, points)
        return squares.sum(dim=1) / points  # 0 / 0 is NaN

    def errors(self) -> Errors:
        """MSE, MAE and MASE of all windows added. Raises DataError when no target is observed."""
        points = float(self.points.sum())
        if not points:
            raise DataError(
                "no target value is observed in any window, so there is no error to compute; "
                "give the range more rows or fewer missing values"
            )
        usable = ~self.scales.isnan() & (self.series_points > 0)
        scaled = (self.sizes[usable] / self.scales[usable]).sum()
        return Errors(
            mse=float(self.squares.sum()) / points,
            mae=float(self.sizes.sum()) / points,
            mase=float(scaled / self.series_points[usable].sum()) if usable.any() else None,
        )

    def per_step(self) -> Float64[np.ndarray, " horizon"]:
        """MSE of every step of the horizon; NaN where no window observes it."""
        return (self.squares / self.points).numpy()

"""Forecasters outside the model that anything larger must beat: seasonal naive and linear."""

from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float, Float64, Int64
from torch import Tensor

from tasks.data.windows import WindowSet

MOVING_AVERAGE = 25  # values, as in DLinear
RIDGES = tuple(10.0**power for power in range(-7, 2))  # times the mean variance of an input
BATCH = 4096


def seasonal_naive(
    context: Float[Tensor, "batch context"], *, season: int, horizon: int
) -> Float[Tensor, "batch horizon"]:
    """Repeats the last season: each phase's last observed value in the context.

    A phase that is never observed (or a season longer than the context) takes the last observed
    value of the whole context; a context without any observed value is forecast as 0, the
    training mean of scaled values.
    """
    padded = F.pad(context, (-context.shape[1] % season, 0), value=torch.nan)
    seasons = padded.reshape(len(padded), -1, season)  # [batch, seasons, season]
    phases = _last_observed(seasons)
    last = _last_observed(context[:, :, None]).nan_to_num(0.0)  # [batch, 1]
    phases = torch.where(phases.isnan(), last, phases)
    return phases[:, torch.arange(horizon, device=context.device) % season]


def _last_observed(values: Float[Tensor, "batch time lanes"]) -> Float[Tensor, "batch lanes"]:
    """The last value along time that is not NaN; NaN where there is none."""
    places = torch.arange(values.shape[1], device=values.device)[None, :, None]
    last = torch.where(values.isnan(), -1, places).amax(dim=1, keepdim=True)
    found = values.gather(1, last.clamp(min=0)).squeeze(1)
    return torch.where(last.squeeze(1) < 0, torch.nan, found)


@dataclass(frozen=True)
class LinearForecaster:
    """DLinear (Zeng et al. 2023): one linear map of the trend and one of the remainder.

    Both parts are linear in the context, so the two maps act as one, `weight`; a window is
    centred by the mean of its observed values and missing values are set to that mean.
    """

    weight: Float[Tensor, "context horizon"]
    ridge: float

    def __call__(self, context: Float[Tensor, "batch context"]) -> Float[Tensor, "batch horizon"]:
        """Forecasts on the scale of the context."""
        centred, mean = _centre(context, context.shape[1])
        return centred @ self.weight.to(context) + mean


def _centre(
    window: Float[Tensor, "batch length"], context: int
) -> tuple[Float[Tensor, "batch length"], Float[Tensor, "batch 1"]]:
    """The window minus its context's mean, 0 where missing; and that mean (0 if none)."""
    mean = window[:, :context].nanmean(dim=1, keepdim=True).nan_to_num(0.0)
    return (window - mean).nan_to_num(0.0), mean


def _moving_average(length: int) -> Float64[Tensor, "length length"]:
    """The matrix that maps a centred context (as a row, from the left) to its trend."""
    half = MOVING_AVERAGE // 2
    identity = torch.eye(length, dtype=torch.float64)[:, None]  # [length, 1, length]
    padded = F.pad(identity, (half, MOVING_AVERAGE - 1 - half), mode="replicate")
    return F.avg_pool1d(padded, MOVING_AVERAGE, stride=1).squeeze(1)


def fit_linear(
    train: WindowSet,
    train_index: Int64[Tensor, " windows"],
    valid: WindowSet,
    valid_index: Int64[Tensor, " valid"],
) -> LinearForecaster:
    """Fits both maps in closed form by ridge regression; validation chooses the ridge.

    With trend x A and remainder x (I - A), a ridge on both maps is the generalised ridge
    W = (X'X + ridge (A A' + (I - A)(I - A)')^-1)^-1 X'Y on their sum. Dividing a window by its
    standard deviation and multiplying the forecast by it changes no linear forecast, only the
    weight of the window in the fit; so windows are centred only, and what is minimised is the
    error that is reported.

    Args:
        train: windows of the training range.
        train_index: which of them to fit on.
        valid: windows of the validation range.
        valid_index: which of them to choose the ridge on.
    """
    context = train.context
    gram, cross = _moments(train, train_index)
    average = _moving_average(context)
    rest = torch.eye(context, dtype=torch.float64) - average
    penalty = torch.linalg.inv(average @ average.T + rest @ rest.T)
    unit = gram.diagonal().mean().clamp(min=torch.finfo(torch.float64).tiny)
    fitted = [
        LinearForecaster(torch.linalg.solve(gram + ridge * unit * penalty, cross).float(), ridge)
        for ridge in RIDGES
    ]
    errors = [_mean_squared_error(one, valid, valid_index) for one in fitted]
    return fitted[int(np.argmin(errors))]


def _moments(
    windows: WindowSet, index: Int64[Tensor, " windows"]
) -> tuple[Float64[Tensor, "context context"], Float64[Tensor, "context horizon"]]:
    """X'X and X'Y over these windows, in double precision."""
    context = windows.context
    gram = torch.zeros(context, context, dtype=torch.float64)
    cross = torch.zeros(context, windows.horizon, dtype=torch.float64)
    for part in torch.split(index, BATCH):
        window, _ = _centre(windows.batch(part).double(), context)
        inputs, targets = window[:, :context], window[:, context:]
        gram += inputs.T @ inputs
        cross += inputs.T @ targets
    return gram, cross


def _mean_squared_error(
    forecaster: LinearForecaster, windows: WindowSet, index: Int64[Tensor, " windows"]
) -> float:
    """Mean squared error over the observed targets; infinite where none is observed."""
    total, points = 0.0, 0
    for part in torch.split(index, BATCH):
        window = windows.batch(part)
        target = window[:, windows.context :]
        error = (forecaster(window[:, : windows.context]) - target).double()
        total += float(error.square().nansum())
        points += int((~target.isnan()).sum())
    return total / points if points else float("inf")

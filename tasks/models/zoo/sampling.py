"""Forecasts made of sampled paths: the same draws at every call, their mean and quantiles."""

import math
from contextlib import AbstractContextManager

import torch
from jaxtyping import Float
from torch import Tensor

from tasks.models.interface import Forecast
from tasks.runtime import drawing

SEED = 0
LEVELS = tuple(tenth / 10 for tenth in range(1, 10))


def same_draws(device: torch.device) -> AbstractContextManager[None]:
    """Inside the context torch draws the same numbers every time; outside nothing changes.

    Masks and models are compared on the same draws (common random numbers), so a difference
    between two of them is theirs, and a search that is resumed finds what it would have found.
    """
    return drawing(device, SEED)


def forecast_of(paths: Float[Tensor, "batch samples horizon"]) -> Forecast:
    """Mean and quantiles of sampled paths; quantiles between two samples are interpolated.

    As `torch.quantile`, which refuses large batches.
    """
    ordered = paths.sort(dim=1).values
    quantiles = {}
    for level in LEVELS:
        place = level * (paths.shape[1] - 1)
        low, high = ordered[:, math.floor(place)], ordered[:, math.ceil(place)]
        quantiles[level] = torch.lerp(low, high, place - math.floor(place))
    return Forecast(paths.mean(1), quantiles)

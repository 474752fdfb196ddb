"""Forecasts made of sampled paths: the same draws at every call, their mean and quantiles."""

import math
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from jaxtyping import Float
from torch import Tensor

from tasks.models.interface import Forecast

SEED = 0
LEVELS = tuple(tenth / 10 for tenth in range(1, 10))


@contextmanager
def same_draws(device: torch.device) -> Iterator[None]:
    """Inside the context torch draws the same numbers every time; outside nothing changes.

    Masks and models are compared on the same draws (common random numbers), so a difference
    between two of them is theirs, and a search that is resumed finds what it would have found.
    """
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        torch.manual_seed(SEED)
        yield


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

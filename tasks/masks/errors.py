"""Squared errors of many masks on windows, batch by batch through the trie of their prefixes."""

from collections.abc import Iterator, Sequence

import torch
from jaxtyping import Float, Float64
from torch import Tensor

from tasks.masks.mask import Mask
from tasks.masks.trie import MAX_BYTES, forecasts
from tasks.models.base import ForecastModel

BATCH_ON_CPU = 64  # larger ones leave the cache and are slower
BATCH_ON_CUDA = 512  # small ones leave the device waiting for launches
USELESS = 1e30  # a window's error where the forecast is not finite: worst of all, yet comparable


def evaluation_batch(device: torch.device) -> int:
    """Windows of one forecast where nothing is trained."""
    return BATCH_ON_CUDA if device.type == "cuda" else BATCH_ON_CPU


def squared_errors(
    forecast: Float[Tensor, "batch horizon"], target: Float[Tensor, "batch horizon"]
) -> Float[Tensor, "batch horizon"]:
    """Squared errors, 0 where the target is missing (NaN)."""
    return torch.where(torch.isfinite(target), forecast - target, 0.0).square()


def window_sums(
    forecast: Float[Tensor, "batch horizon"], target: Float[Tensor, "batch horizon"]
) -> Float64[Tensor, " batch"]:
    """The sum of squared errors of every window."""
    return squared_errors(forecast, target).sum(1, dtype=torch.float64)


def mean_error(
    sums: Float64[Tensor, " windows"], target: Float[Tensor, "windows horizon"]
) -> float:
    """Mean squared error over all observed points; 0 where none is observed."""
    return float(sums.cpu().sum()) / max(1, int(torch.isfinite(target).sum()))


def window_errors(
    model: ForecastModel,
    masks: Sequence[Mask],
    windows: Float[Tensor, "windows length"],
    *,
    max_bytes: int = MAX_BYTES,
) -> Float64[Tensor, "masks windows"]:
    """`window_sums` of every mask and window, on the CPU; bit-identical to each mask alone.

    Without some of its blocks a model may forecast what is not a number: that window's error is
    `USELESS`, so that the mask comes last and nothing that ranks or fits errors fails over it.

    Args:
        model: put into eval mode.
        masks: kept blocks.
        windows: context + horizon values, NaN = missing, on the model's device.
        max_bytes: of states kept, see `forecasts`.
    """
    sums = torch.zeros(len(masks), len(windows), dtype=torch.float64)
    for place, rows, forecast, target in _walked(model, masks, windows, max_bytes):
        found = window_sums(forecast, target).nan_to_num(nan=USELESS, posinf=USELESS)
        sums[place, rows] = found.cpu()
    return sums


def step_errors(
    model: ForecastModel,
    masks: Sequence[Mask],
    windows: Float[Tensor, "windows length"],
    *,
    max_bytes: int = MAX_BYTES,
) -> Float[Tensor, "masks windows horizon"]:
    """Squared errors by mask, window and step, NaN where missing, on the CPU.

    Arguments as in `window_errors`. The result needs 4 bytes for each, so it is for few masks.
    """
    horizon = windows.shape[1] - model.config.context
    errors = torch.zeros(len(masks), len(windows), horizon)
    for place, rows, forecast, target in _walked(model, masks, windows, max_bytes):
        errors[place, rows] = (forecast - target).square().cpu()
    return errors


def _walked(
    model: ForecastModel, masks: Sequence[Mask], windows: Tensor, max_bytes: int
) -> Iterator[tuple[int, slice, Tensor, Tensor]]:
    model.eval()
    context = model.config.context
    size = evaluation_batch(windows.device)
    for first in range(0, len(windows), size):
        rows = slice(first, first + size)
        target = windows[rows, context:]
        pairs = forecasts(
            model, masks, windows[rows, :context], target.shape[1], max_bytes=max_bytes
        )
        for place, forecast in pairs:
            yield place, rows, forecast, target

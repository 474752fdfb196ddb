"""Functions as a user writes them in tasks/custom/, for the tests of the family `custom`."""

from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

import tasks.custom

NOT_A_FUNCTION = 3


def put_in_place(patch: pytest.MonkeyPatch) -> None:
    """Makes this folder the one that `tasks/custom/` is for a user."""
    patch.setattr(tasks.custom, "__path__", [str(Path(__file__).parent)])


def filled(values: Tensor) -> tuple[Tensor, Tensor]:
    """Values with 0 for what is missing, and where they are observed."""
    observed = torch.isfinite(values)
    return torch.where(observed, values, 0.0), observed


def masked_error(forecast: Tensor, target: Tensor) -> Tensor:
    """The mean squared error where the target is observed."""
    known = torch.isfinite(target)
    return torch.where(known, forecast - target, 0.0).square().sum() / known.sum()


def mixer_forecast(module: nn.Module, context: Tensor, horizon: int) -> Tensor:
    """PatchTSMixer's point forecast."""
    values, observed = filled(context)
    found = module(past_values=values[..., None], observed_mask=observed[..., None])
    return found.prediction_outputs[:, :horizon, 0]


def mixer_loss(module: nn.Module, window: Tensor, context_length: int) -> Tensor:
    """The squared error of PatchTSMixer's forecast."""
    target = window[:, context_length:]
    return masked_error(mixer_forecast(module, window[:, :context_length], target.shape[1]), target)


def transformer_forecast(module: nn.Module, context: Tensor, horizon: int) -> Tensor:
    """The mean of the distribution that the time series transformer gives in one pass.

    The decoder gets the mean of the context for the values to come, so nothing is sampled.
    """
    values, observed = filled(context)
    length = module.config.prediction_length
    mean = values.sum(1, keepdim=True) / observed.sum(1, keepdim=True).clamp(min=1)
    found = module.model(
        past_values=values,
        past_time_features=values.new_zeros(*values.shape, 1),
        past_observed_mask=observed.float(),
        future_values=mean.expand(-1, length),
        future_time_features=values.new_zeros(len(values), length, 1),
    )
    params = module.output_params(found.last_hidden_state)
    made = module.output_distribution(params, loc=found.loc, scale=found.scale)
    return made.mean[:, :horizon]


def transformer_loss(module: nn.Module, window: Tensor, context_length: int) -> Tensor:
    """The squared error of the forecast."""
    target = window[:, context_length:]
    made = transformer_forecast(module, window[:, :context_length], target.shape[1])
    return masked_error(made, target)


def wrong_shape(module: nn.Module, context: Tensor, horizon: int) -> Tensor:
    """A forecast that lacks its last value."""
    return mixer_forecast(module, context, horizon)[:, :-1]


def no_tensor(module: nn.Module, context: Tensor, horizon: int) -> list[float]:
    """Neither a forecast nor a loss."""
    return [0.0]


def loss_per_window(module: nn.Module, window: Tensor, context_length: int) -> Tensor:
    """Numbers where one is wanted."""
    return window.nan_to_num().mean(1)

"""Missing values filled in, for models that take none."""

import torch
from jaxtyping import Float, Int
from torch import Tensor


def filled(context: Float[Tensor, "B context"]) -> Float[Tensor, "B context"]:
    """The context with its gaps closed by straight lines between the observed values beside them.

    A gap at an end takes the nearest observed value; a row without any becomes 0.
    """
    observed = torch.isfinite(context)
    if bool(observed.all()):
        return context
    values, length = torch.where(observed, context, 0.0), context.shape[1]
    place = torch.arange(length, device=context.device).expand_as(context)
    before = torch.where(observed, place, -1).cummax(1).values
    after = torch.where(observed, place, length).flip(1).cummin(1).values.flip(1)
    left = values.gather(1, before.clamp(min=0))
    right = values.gather(1, after.clamp(max=length - 1))
    left = torch.where(before < 0, right, left)
    right = torch.where(after == length, left, right)
    share = (place - before) / (after - before).clamp(min=1)
    return torch.where(observed, values, left + (right - left) * share.to(values.dtype))


def first_observed(context: Float[Tensor, "B context"]) -> Int[Tensor, " B"]:
    """The place of the first observed value; 0 in a row without any."""
    return torch.isfinite(context).int().argmax(1)

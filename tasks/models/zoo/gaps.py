"""Gaps of a context filled in, for libraries that take no missing values."""

import torch
from jaxtyping import Float, Int
from torch import Tensor


def fill_gaps(
    context: Float[Tensor, "batch length"],
) -> tuple[Float[Tensor, "batch length"], Int[Tensor, "batch"]]:
    """Values with gaps interpolated linearly, and the place of the first observed value.

    Before the first and after the last observed value the nearest one is repeated. Where nothing
    is observed the values are 0 and the place is 0.
    """
    length = context.shape[1]
    observed = torch.isfinite(context)
    place = torch.arange(length, device=context.device).expand_as(context)
    before = torch.where(observed, place, -1).cummax(1).values
    after = torch.where(observed, place, length).flip(1).cummin(1).values.flip(1)
    known = torch.where(observed, context, 0.0)
    left, right = known.gather(1, before.clamp(min=0)), known.gather(1, after.clamp(max=length - 1))
    share = (place - before) / (after - before).clamp(min=1)
    filled = left + (right - left) * share
    filled = torch.where(before < 0, right, filled)
    filled = torch.where(after == length, left, filled)
    first = after[:, 0]
    return torch.where(observed, context, filled), torch.where(first == length, 0, first)

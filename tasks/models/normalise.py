"""What happens to a context before it is cut into patches: its length, its mean and its scale."""

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor

EPSILON = 1e-5


def fit_length(context: Float[Tensor, "batch given"], length: int) -> Float[Tensor, "batch length"]:
    """The last `length` values; a shorter context is padded on the left as missing (NaN)."""
    missing = max(0, length - context.shape[1])
    return F.pad(context, (missing, 0), value=float("nan"))[:, -length:]


def normalise(
    context: Float[Tensor, "batch context"],
) -> tuple[
    Float[Tensor, "batch context"],
    Bool[Tensor, "batch context"],
    Float[Tensor, "batch 1"],
    Float[Tensor, "batch 1"],
]:
    """Values by mean and standard deviation of what is observed (Kim et al. 2022, RevIN).

    Returns:
        The normalised values, 0 where missing; where they are missing; the mean; the scale.
    """
    observed = torch.isfinite(context)
    filled = torch.where(observed, context, 0.0)
    count = observed.sum(1, keepdim=True).clamp(min=1)
    mean = filled.sum(1, keepdim=True) / count
    centred = torch.where(observed, context - mean, 0.0)
    scale = (centred.square().sum(1, keepdim=True) / count + EPSILON).sqrt()
    return centred / scale, ~observed, mean, scale

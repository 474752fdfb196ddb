"""Forecasts longer than a model makes at once."""

from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor

from tasks.models.normalise import fit_length


def rolled(
    once: Callable[[Tensor], Tensor],
    context: Float[Tensor, "B given"],
    *,
    length: int,
    horizon: int,
) -> Float[Tensor, "B horizon"]:
    """The next `horizon` values, each forecast appended to the context of the one after it.

    Args:
        once: forecasts the next few values of a context of `length` values.
        context: is cut to `length` from the left, or padded as missing.
        length: of a context.
        horizon: how many values.
    """
    pieces: list[Tensor] = []
    while sum(piece.shape[1] for piece in pieces) < horizon:
        context = fit_length(context, length)
        pieces.append(once(context))
        context = torch.cat([context, pieces[-1]], dim=1)
    return torch.cat(pieces, dim=1)[:, :horizon]

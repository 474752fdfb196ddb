"""The best mask of one size before healing, found without a sampler."""

import itertools
from math import comb

from jaxtyping import Float
from torch import Tensor

from tasks.masks.errors import window_errors
from tasks.masks.mask import Mask, first_mask
from tasks.models.base import ForecastModel


def best_mask(
    model: ForecastModel,
    windows: Float[Tensor, "windows length"],
    size: int,
    *,
    exhaustive_limit: int,
) -> Mask:
    """The mask of this size with the lowest squared error on these windows.

    Every mask is measured when there are at most `exhaustive_limit` of them. Otherwise blocks are
    removed greedily, each time the one whose removal costs least, which may miss the best.

    Args:
        model: the full model.
        windows: context + horizon values, NaN = missing, on the model's device.
        size: number of kept blocks, 1 .. all.
        exhaustive_limit: masks.
    """
    total = model.num_blocks
    if comb(total, size) <= exhaustive_limit:
        return _lowest(model, list(itertools.combinations(range(total), size)), windows)
    mask = first_mask(total, total)
    while len(mask) > size:
        shorter = [mask[:place] + mask[place + 1 :] for place in range(len(mask))]
        mask = _lowest(model, shorter, windows)
    return mask


def _lowest(model: ForecastModel, masks: list[Mask], windows: Tensor) -> Mask:
    sums = window_errors(model, masks, windows).sum(dim=1)
    return masks[int(sums.argmin())]

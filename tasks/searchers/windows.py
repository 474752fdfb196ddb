"""The windows that masks are measured on before healing."""

import torch
from jaxtyping import Float
from torch import Tensor

from tasks.data.series import SeriesSet
from tasks.data.spans import is_short
from tasks.data.windows import training_windows, validation_windows


def search_windows(
    history: SeriesSet, context: int, horizon: int, *, count: int, train_share: float
) -> Float[Tensor, "windows context+horizon"]:
    """At most `count` windows, evenly spaced over the validation range.

    Where that range is too short to choose by (`tasks.data.spans`), half of the windows are of the
    training range. Nothing was fitted to a mask that is not healed yet, so they tell masks apart as
    fairly.

    Args:
        history: training and validation range of a dataset.
        context: rows a model sees.
        horizon: rows it forecasts.
        count: of windows.
        train_share: of the training rows that the model was trained on, the last ones.
    """
    valid = validation_windows(history, context, horizon)
    if not is_short(history, horizon):
        return valid.batch(valid.spaced(count))
    train = training_windows(history, context, horizon, share=train_share)
    half = max(1, count // 2)
    return torch.cat([part.batch(part.spaced(half)) for part in (valid, train)])

"""Removal loss (arXiv 2605.14075; Song et al. 2024, SLEB, arXiv 2402.09025)."""

from jaxtyping import Float
from torch import Tensor

from tasks.artifacts import Score
from tasks.models.native import NativeModel
from tasks.training.loop import validation_mse


def removal_loss(model: NativeModel, windows: Float[Tensor, "windows length"]) -> Score:
    """Error with one block skipped minus the error with none skipped, for every block.

    Higher = keep; in units of the squared error; negative where the model is better without it.
    """
    blocks = range(model.num_blocks)
    base = validation_mse(model, windows)
    values: list[float] = []
    for dropped in blocks:
        with model.only([block for block in blocks if block != dropped]):
            values.append(validation_mse(model, windows) - base)
    return Score(values=values, parameters={"variant": "one_shot", "windows": len(windows)})

"""The error of a mask before healing, each mask measured once."""

from jaxtyping import Float
from torch import Tensor

from tasks.masks.mask import Mask
from tasks.models.native import NativeModel
from tasks.training.loop import validation_mse


class MaskEvaluator:
    """Measures masks of one model on fixed validation windows, with a memo."""

    def __init__(self, model: NativeModel, windows: Float[Tensor, "windows length"]) -> None:
        """`windows` hold context + horizon values."""
        self.model, self.windows = model, windows.to(next(model.parameters()).device)
        self.memo: dict[Mask, float] = {}

    def error(self, mask: Mask) -> float:
        """Validation MSE of the model with just these blocks, not healed."""
        if mask not in self.memo:
            with self.model.only(mask):
                self.memo[mask] = validation_mse(self.model, self.windows)
        return self.memo[mask]

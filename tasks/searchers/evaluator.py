"""The errors of masks before healing, each mask measured once."""

from collections.abc import Sequence

import torch
from jaxtyping import Float, Float64, Int64
from torch import Tensor

from tasks.masks.errors import mean_error, window_errors
from tasks.masks.mask import Mask
from tasks.masks.trie import MAX_BYTES
from tasks.models.base import ForecastModel


class MaskEvaluator:
    """Measures masks of one model on fixed validation windows, with a memo.

    Attributes:
        memo: validation MSE by mask; it may be filled beforehand, for example from a journal.
        max_bytes: of states kept while many masks are measured together, see `forecasts`.
    """

    def __init__(
        self,
        model: ForecastModel,
        windows: Float[Tensor, "windows length"],
        *,
        max_bytes: int = MAX_BYTES,
    ) -> None:
        """`windows` hold context + horizon values."""
        self.model, self.windows = model, windows.to(next(model.parameters()).device)
        self.target = windows[:, model.config.context :].cpu()
        self.max_bytes = max_bytes
        self.memo: dict[Mask, float] = {}
        self._sums: dict[Mask, Tensor] = {}

    def error(self, mask: Mask) -> float:
        """Validation MSE of the model with just these blocks, not healed."""
        return self.errors([mask])[0]

    def errors(self, masks: Sequence[Mask]) -> list[float]:
        """The errors of many masks, in their order; masks that begin alike share their blocks.

        Bit-identical to measuring each alone.
        """
        self._remember([mask for mask in masks if mask not in self.memo])
        return [self.memo[mask] for mask in masks]

    def window_errors(self, mask: Mask) -> Float64[Tensor, " windows"]:
        """The sum of squared errors of every window, for paired tests; missing targets add 0."""
        if mask not in self._sums:
            self._remember([mask])
        return self._sums[mask]

    def measure(
        self, masks: Sequence[Mask], index: Int64[Tensor, " some"]
    ) -> Float64[Tensor, "masks some"]:
        """Sums of squared errors on these windows only; nothing is remembered."""
        return window_errors(self.model, masks, self.windows[index], max_bytes=self.max_bytes)

    def mean_of(self, sums: Float64[Tensor, " windows"]) -> float:
        """The validation MSE that sums of squared errors over all windows make."""
        return mean_error(sums, self.target)

    def _remember(self, masks: Sequence[Mask]) -> None:
        different = list(dict.fromkeys(masks))
        sums = self.measure(different, torch.arange(len(self.target)))
        for mask, row in zip(different, sums, strict=True):
            self._sums[mask] = row
            self.memo.setdefault(mask, self.mean_of(row))

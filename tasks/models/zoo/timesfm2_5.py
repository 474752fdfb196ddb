"""TimesFM 2.5 (Das et al. 2024, arXiv 2310.10688; transformers): rotary, with a quantile head.

Its point forecast is the median. Where the config says `force_flip_invariance`, every forecast is
the mean of those of the series and of its negative, turned back.

Two things of the library are not taken over: its loss pairs the columns below the median with the
next higher level; and `infer_is_positive` looks at the smallest value of the whole batch, so that
a forecast depends on the other series. Here each series is looked at alone, as in the authors' own
package.
"""

from collections.abc import Sequence
from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor, nn
from transformers import (
    PretrainedConfig,
    PreTrainedModel,
    TimesFm2_5Config,
    TimesFm2_5ModelForPrediction,
)

from tasks.models.interface import Trace
from tasks.models.stacks import Stack
from tasks.models.zoo.timesfm import TimesFm


class TimesFm25(TimesFm):
    """TimesFM 2.5 of any size."""

    LIBRARY_CONFIG: ClassVar[type[PretrainedConfig]] = TimesFm2_5Config
    LIBRARY_MODEL: ClassVar[type[PreTrainedModel]] = TimesFm2_5ModelForPrediction
    stacks: tuple[Stack, ...] = (
        Stack(path="model.layers", depth="num_hidden_layers", norm="output_projection_point"),
    )

    def tail(self) -> list[nn.Module]:
        """The heads of the point forecast and of the quantiles; there is no norm before them."""
        return [*super().tail(), self.backbone.output_projection_quantiles]

    @property
    def _point(self) -> int:
        return int(self.backbone.config.decode_index)

    def _run(self, series: Sequence[Tensor], length: int) -> Float[Tensor, "B steps columns"]:
        # without a length the library pads every series to the 16384 values of its config
        found: Tensor = self.backbone(
            past_values=series, forecast_context_len=length, truncate_negative=False
        ).full_predictions
        return found

    def _limit(
        self, found: Float[Tensor, "B H columns"], context: Float[Tensor, "B context"]
    ) -> Float[Tensor, "B H columns"]:
        if not self.backbone.config.infer_is_positive:
            return found
        is_positive = ~(context < 0).any(dim=1)
        return torch.where(is_positive[:, None, None], found.clamp(min=0), found)

    def trace(self, context: Float[Tensor, "B context"]) -> list[Trace]:
        """By stack, the states before and after every block; of the series, not its negative."""
        config = self.backbone.config
        flips = config.force_flip_invariance
        try:
            config.force_flip_invariance = False
            return super().trace(context)
        finally:
            config.force_flip_invariance = flips

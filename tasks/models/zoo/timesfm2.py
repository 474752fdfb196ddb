"""TimesFM 2.0 (Das et al. 2024, arXiv 2310.10688; transformers): a causal decoder on patches.

The library's loss is in the units of the data, so that a large series outweighs all others; here
it is normalised by the context (see `TimesFm.outputs`).
"""

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from jaxtyping import Float
from torch import Tensor
from transformers import (
    PretrainedConfig,
    PreTrainedModel,
    TimesFmConfig,
    TimesFmModelForPrediction,
)

from tasks.errors import ParamsError
from tasks.models.stacks import Stack
from tasks.models.zoo.timesfm import TimesFm

FREQUENCIES = (0, 1, 2)


class TimesFm2(TimesFm):
    """TimesFM 2.0 of any size.

    The option `frequency` is the authors' class of the data: 0 (up to daily; the default), 1
    (weekly, monthly) or 2 (quarterly and slower).
    """

    LIBRARY_CONFIG: ClassVar[type[PretrainedConfig]] = TimesFmConfig
    LIBRARY_MODEL: ClassVar[type[PreTrainedModel]] = TimesFmModelForPrediction
    stacks: tuple[Stack, ...] = (
        Stack(
            path="decoder.layers",
            depth="num_hidden_layers",
            norm="horizon_ff_layer",
            output="mlp.down_proj",
        ),
    )

    @classmethod
    def check_options(cls, options: Mapping[str, Any]) -> None:
        """Raises ParamsError unless these options of a model entry fit the family."""
        super().check_options({k: v for k, v in options.items() if k != "frequency"})
        frequency = options.get("frequency", 0)
        if type(frequency) is not int or frequency not in FREQUENCIES:
            raise ParamsError(
                "options.frequency: must be 0 (up to daily), 1 (weekly, monthly) or 2 (slower); "
                f"got {frequency!r}"
            )

    @property
    def _point(self) -> int:
        return 0

    def _run(self, series: Sequence[Tensor], length: int) -> Float[Tensor, "B steps columns"]:
        frequency = self.config.options.get("frequency", 0)
        found: Tensor = self.backbone(
            past_values=series,
            freq=[frequency] * len(series),
            forecast_context_len=length,
        ).full_predictions
        return found

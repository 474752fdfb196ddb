"""Time-MoE (Shi et al. 2025, arXiv 2409.16040; Maple728/TimeMoE-50M): a mixture of experts.

Every value is a token; decoder blocks whose MLP is a sum of experts, so no block ends in one linear
map; heads of several lengths; point forecasts. The experts of a block are dropped with it.
"""

from typing import Any, ClassVar

from jaxtyping import Float
from torch import Tensor, nn

from tasks.models.interface import Forecast, Outputs
from tasks.models.stacks import Stack
from tasks.models.zoo.decoder import DecoderShape
from tasks.models.zoo.decoder_family import DecoderModel
from tasks.models.zoo.family import outputs_on_data_scale
from tasks.models.zoo.time_moe_net import TimeMoeNet, TimeMoeShape


class TimeMoe(DecoderModel):
    """Time-MoE of any size."""

    MODEL_TYPE: ClassVar[str] = "time_moe"
    ARCHITECTURE: ClassVar[str] = "TimeMoeForPrediction"
    SHAPE: ClassVar[type[DecoderShape]] = TimeMoeShape
    NET: ClassVar[Any] = TimeMoeNet
    stacks: tuple[Stack, ...] = (
        Stack(path="model.layers", depth="num_hidden_layers", norm="model.norm"),
    )

    def tail(self) -> list[nn.Module]:
        """The final norm and the heads."""
        return [*super().tail(), self.backbone.lm_heads]

    def outputs(self, window: Float[Tensor, "B length"]) -> Outputs:
        """The first piece of the forecast; the loss is Huber from every value, and the balance."""
        context, horizon = self.config.context, self.config.horizon
        seen = self._seen(window[:, :context])
        recent = window[:, context - seen.shape[1] :]
        piece, loss = self.backbone.forecast_and_loss(seen, recent, horizon)
        return outputs_on_data_scale(piece, window, context, loss)

    def forecast(self, context: Float[Tensor, "B context"], horizon: int) -> Forecast:
        """The next `horizon` values, in pieces of the longest head that fits."""
        return Forecast(self.backbone.generate(self._seen(context), horizon))

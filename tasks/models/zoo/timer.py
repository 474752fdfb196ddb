"""Timer (Liu et al. 2024, arXiv 2402.02368; thuml/timer-base-84m): forecasts the next patch.

Decoder blocks that are normed behind each sum, so a block's last linear map adds nothing to the
stream directly; point forecasts.
"""

from typing import Any, ClassVar

from jaxtyping import Float
from torch import Tensor, nn

from tasks.models.interface import Forecast, Outputs
from tasks.models.stacks import Stack
from tasks.models.zoo.decoder import DecoderShape
from tasks.models.zoo.decoder_family import DecoderModel
from tasks.models.zoo.family import outputs_on_data_scale
from tasks.models.zoo.timer_net import TimerNet, TimerShape


class Timer(DecoderModel):
    """Timer of any size."""

    MODEL_TYPE: ClassVar[str] = "timer"
    ARCHITECTURE: ClassVar[str] = "TimerForPrediction"
    SHAPE: ClassVar[type[DecoderShape]] = TimerShape
    NET: ClassVar[Any] = TimerNet
    stacks: tuple[Stack, ...] = (
        Stack(path="model.layers", depth="num_hidden_layers", norm="model.norm"),
    )

    def embedding_map(self) -> nn.Module:
        """The patch embedding."""
        embedding: nn.Module = self.backbone.model.embed_layer.emb
        return embedding

    def tail(self) -> list[nn.Module]:
        """The final norm and the heads."""
        return [*super().tail(), self.backbone.lm_heads]

    def outputs(self, window: Float[Tensor, "B length"]) -> Outputs:
        """The first piece of the forecast; the loss is the mean squared error from every token."""
        context, horizon = self.config.context, self.config.horizon
        seen = self._seen(window[:, :context])
        recent = window[:, context - seen.shape[1] :]
        piece, loss = self.backbone.forecast_and_loss(seen, recent, horizon)
        return outputs_on_data_scale(piece, window, context, loss)

    def forecast(self, context: Float[Tensor, "B context"], horizon: int) -> Forecast:
        """The next `horizon` values, in pieces of the longest head that fits."""
        return Forecast(self.backbone.generate(self._seen(context), horizon))

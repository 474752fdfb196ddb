"""Timer (Liu et al. 2024, arXiv 2402.02368; thuml/timer-base-84m): forecasts the next patch.

Decoder blocks that are normed behind each sum, so a block's last linear map adds nothing to the
stream directly; point forecasts.
"""

from typing import Any, ClassVar

from torch import nn

from tasks.models.zoo.decoder import DecoderShape
from tasks.models.zoo.decoder_family import HeadedDecoderModel
from tasks.models.zoo.timer_net import TimerNet, TimerShape


class Timer(HeadedDecoderModel):
    """Timer of any size."""

    MODEL_TYPE: ClassVar[str] = "timer"
    ARCHITECTURE: ClassVar[str] = "TimerForPrediction"
    SHAPE: ClassVar[type[DecoderShape]] = TimerShape
    NET: ClassVar[Any] = TimerNet

    def embedding_map(self) -> nn.Module:
        """The patch embedding."""
        embedding: nn.Module = self.backbone.model.embed_layer.emb
        return embedding

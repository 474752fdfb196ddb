"""Time-MoE (Shi et al. 2025, arXiv 2409.16040; Maple728/TimeMoE-50M): a mixture of experts.

Every value is a token; decoder blocks whose MLP is a sum of experts, so no block ends in one linear
map; heads of several lengths; point forecasts. The experts of a block are dropped with it.
"""

from typing import Any, ClassVar

from tasks.models.zoo.decoder import DecoderShape
from tasks.models.zoo.decoder_family import HeadedDecoderModel
from tasks.models.zoo.time_moe_net import TimeMoeNet, TimeMoeShape


class TimeMoe(HeadedDecoderModel):
    """Time-MoE of any size."""

    MODEL_TYPE: ClassVar[str] = "time_moe"
    ARCHITECTURE: ClassVar[str] = "TimeMoeForPrediction"
    SHAPE: ClassVar[type[DecoderShape]] = TimeMoeShape
    NET: ClassVar[Any] = TimeMoeNet

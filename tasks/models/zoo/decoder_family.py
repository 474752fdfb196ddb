"""What the families on decoders of our own share: config, context, blocks."""

from collections.abc import Mapping
from typing import Any, ClassVar

from jaxtyping import Float
from torch import Tensor, nn

from tasks.models.interface import Forecast, Outputs
from tasks.models.stacks import Stack
from tasks.models.zoo.decoder import DecoderNet, DecoderShape, read_shape
from tasks.models.zoo.family import ZooModel, outputs_on_data_scale
from tasks.models.zoo.gaps import filled


class DecoderModel(ZooModel):
    """A model around a net that is built here, with the keys of a published checkpoint.

    Attributes:
        MODEL_TYPE: in the published config.json.
        ARCHITECTURE: the published class, in its config.json.
        SHAPE: the fields that the net reads.
        NET: the class of the net.
    """

    MODEL_TYPE: ClassVar[str]
    ARCHITECTURE: ClassVar[str]
    SHAPE: ClassVar[type[DecoderShape]]
    NET: ClassVar[Any]

    @classmethod
    def complete(cls, data: dict[str, Any]) -> dict[str, Any]:
        """config.json as the published one: what is given, and the defaults of the rest."""
        shape = read_shape(cls.SHAPE, data, cls.MODEL_TYPE)
        names = {"architectures": [cls.ARCHITECTURE], "model_type": cls.MODEL_TYPE}
        return {**names, **shape.model_dump(mode="json"), **data}

    @classmethod
    def build_backbone(cls, data: Mapping[str, Any]) -> nn.Module:
        """The net with random weights."""
        net: DecoderNet = cls.NET(read_shape(cls.SHAPE, data, cls.MODEL_TYPE))
        return net

    @classmethod
    def count_blocks(cls, data: Mapping[str, Any]) -> int:
        """Blocks of the decoder."""
        return int(data["num_hidden_layers"])

    def _seen(self, context: Float[Tensor, "B given"]) -> Float[Tensor, "B length"]:
        # as much as the positions allow, without gaps
        shape = self.backbone.shape
        longest = shape.max_position_embeddings * getattr(shape, "input_token_len", 1)
        return filled(context[:, -longest:])


class HeadedDecoderModel(DecoderModel):
    """A decoder whose heads forecast the values after every token, each another number of them."""

    stacks: tuple[Stack, ...] = (
        Stack(path="model.layers", depth="num_hidden_layers", norm="model.norm"),
    )

    def tail(self) -> list[nn.Module]:
        """The final norm and the heads."""
        return [*super().tail(), self.backbone.lm_heads]

    def outputs(self, window: Float[Tensor, "B length"]) -> Outputs:
        """The first piece of the forecast; the loss is the net's own, from every token."""
        context, horizon = self.config.context, self.config.horizon
        seen = self._seen(window[:, :context])
        recent = window[:, context - seen.shape[1] :]
        piece, loss = self.backbone.forecast_and_loss(seen, recent, horizon)
        return outputs_on_data_scale(piece, window, context, loss)

    def forecast(self, context: Float[Tensor, "B context"], horizon: int) -> Forecast:
        """The next `horizon` values, in pieces of the longest head that fits."""
        return Forecast(self.backbone.generate(self._seen(context), horizon))

"""Sundial (Liu et al. 2025, arXiv 2502.00816; thuml/sundial-base-128m): samples by flow matching.

Decoder blocks; the last token's state turns noise into samples of the next 720 values. The flow's
own residual blocks (`flow_loss.net.res_blocks`) are part of the head, not of the stack.

Option of an entry: `samples` per window, 20 where it is left out. Their noise comes from a fixed
seed and is the same for every window: two forecasts of one window are equal, whatever its batch,
and masks are compared on the same noise.
"""

from collections.abc import Mapping
from typing import Any, ClassVar

import torch
from jaxtyping import Float
from torch import Tensor, nn

from tasks.errors import ParamsError
from tasks.models.interface import Forecast, Outputs
from tasks.models.stacks import Stack
from tasks.models.zoo.decoder import DecoderShape
from tasks.models.zoo.decoder_family import DecoderModel
from tasks.models.zoo.family import outputs_on_data_scale
from tasks.models.zoo.sundial_net import SundialNet, SundialShape

SAMPLES, MOST_SAMPLES = 20, 1000
SEED = 0
LEVELS = tuple(level / 10 for level in range(1, 10))


class Sundial(DecoderModel):
    """Sundial of any size; its mean is the mean of the samples, its quantiles are theirs."""

    MODEL_TYPE: ClassVar[str] = "sundial"
    ARCHITECTURE: ClassVar[str] = "SundialForPrediction"
    SHAPE: ClassVar[type[DecoderShape]] = SundialShape
    NET: ClassVar[Any] = SundialNet
    stacks: tuple[Stack, ...] = (
        Stack(
            path="model.layers",
            depth="num_hidden_layers",
            norm="model.norm",
            output="ffn_layer.down_proj",
        ),
    )

    @classmethod
    def check_options(cls, options: Mapping[str, Any]) -> None:
        """Raises ParamsError unless `samples`, the only option, is a count."""
        super().check_options({name: value for name, value in options.items() if name != "samples"})
        samples = options.get("samples", SAMPLES)
        if type(samples) is not int or not 1 <= samples <= MOST_SAMPLES:
            raise ParamsError(
                f"options.samples: must be a whole number from 1 to {MOST_SAMPLES}; got "
                f"{samples!r}; leave it out for {SAMPLES}"
            )

    @property
    def samples(self) -> int:
        """Samples per window."""
        return int(self.config.options.get("samples", SAMPLES))

    def tail(self) -> list[nn.Module]:
        """The final norm and the flow."""
        return [*super().tail(), self.backbone.flow_loss]

    def outputs(self, window: Float[Tensor, "B length"]) -> Outputs:
        """Guesses of the mean in one step; the loss is flow matching, from every token.

        `forecast` takes all steps. Values beyond those that are sampled at once take no part.
        """
        context = self.config.context
        seen = self._seen(window[:, :context])
        recent = window[:, context - seen.shape[1] :]
        guess, loss = self.backbone.guess_and_loss(seen, recent, self.samples, SEED)
        return outputs_on_data_scale(guess[:, : self.config.horizon], window, context, loss)

    def forecast(self, context: Float[Tensor, "B context"], horizon: int) -> Forecast:
        """Mean and quantiles of the samples of the next `horizon` values."""
        seen = self._seen(context)
        samples = self.backbone.generate(seen, horizon, self.samples, seed=SEED)
        return Forecast(samples.mean(1), sample_quantiles(samples))


def sample_quantiles(
    samples: Float[Tensor, "B S horizon"],
) -> dict[float, Float[Tensor, "B horizon"]]:
    """Quantiles by level, with straight lines between the samples."""
    ordered = samples.sort(dim=1).values
    last = ordered.shape[1] - 1
    quantiles = {}
    for level in LEVELS:
        low = int(level * last)
        high = min(low + 1, last)
        quantiles[level] = torch.lerp(ordered[:, low], ordered[:, high], level * last - low)
    return quantiles

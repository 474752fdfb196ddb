"""Chronos-Bolt (Ansari et al. 2024, arXiv 2403.07815; chronos-forecasting 2.3): T5 on patches.

Encoder and decoder blocks; the decoder's only token forecasts quantiles of the whole horizon at
once. The library's module scales a window by its own context and takes NaN for missing.
"""

from collections.abc import Mapping
from typing import Any

from chronos import ChronosBoltPipeline
from chronos.chronos_bolt import ChronosBoltModelForForecasting
from jaxtyping import Float
from torch import Tensor, nn
from transformers import T5Config

from tasks.errors import ParamsError
from tasks.models.interface import Forecast, Outputs
from tasks.models.stacks import Stack
from tasks.models.zoo.family import ZooModel, outputs_on_data_scale
from tasks.models.zoo.t5 import T5_STACKS, complete_t5, count_t5_blocks


class ChronosBolt(ZooModel):
    """Chronos-Bolt of any size; its mean is the median, as in its own pipeline."""

    stacks: tuple[Stack, ...] = T5_STACKS

    @classmethod
    def complete(cls, data: dict[str, Any]) -> dict[str, Any]:
        """The library's config with its defaults filled in, as config.json of a checkpoint."""
        return complete_t5(data) | {
            "architectures": ["ChronosBoltModelForForecasting"],
            "chronos_pipeline_class": "ChronosBoltPipeline",
        }

    @classmethod
    def build_backbone(cls, data: Mapping[str, Any]) -> nn.Module:
        """The library's module with random weights, from its own config as data."""
        if "chronos_config" not in data:
            raise ParamsError("chronos_bolt needs `chronos_config` in its config or shape")
        model: nn.Module = ChronosBoltModelForForecasting(T5Config.from_dict(dict(data)))
        return model

    @classmethod
    def count_blocks(cls, data: Mapping[str, Any]) -> int:
        """Encoder and decoder blocks."""
        return count_t5_blocks(data)

    def tail(self) -> list[nn.Module]:
        """The decoder's final norm and the head."""
        return [*super().tail(), self.backbone.output_patch_embedding]

    def outputs(self, window: Float[Tensor, "B length"]) -> Outputs:
        """The median forecasts; the loss is the library's, of all its quantiles.

        Steps beyond the library's own horizon take no part.
        """
        context = self.config.context
        own = min(self.config.horizon, self.backbone.chronos_config.prediction_length)
        target = window[:, context : context + own]
        found = self.backbone(context=window[:, :context], target=target.clone())
        median: Tensor = found.quantile_preds[:, self._levels.index(0.5), :own]
        return outputs_on_data_scale(median, window, context, found.loss)

    @property
    def _levels(self) -> list[float]:
        return [round(float(level), 6) for level in self.backbone.chronos_config.quantiles]

    def forecast(self, context: Float[Tensor, "B context"], horizon: int) -> Forecast:
        """Quantiles of the next `horizon` values; beyond its own horizon as its pipeline rolls."""
        if horizon <= self.backbone.chronos_config.prediction_length:
            found = self.backbone(context=context).quantile_preds[..., :horizon]
        else:
            pipeline = ChronosBoltPipeline(self.backbone)
            found = pipeline.predict(context.cpu(), prediction_length=horizon).to(context.device)
        quantiles = {level: found[:, place] for place, level in enumerate(self._levels)}
        return Forecast(quantiles[0.5], quantiles)

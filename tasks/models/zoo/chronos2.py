"""Chronos-2 (Ansari et al. 2025, arXiv 2510.15821; chronos-forecasting 2.3): an encoder of patches.

Every block attends over time, then over the series of a group; here every series is a group of its
own. The patches of the future are tokens too, and each forecasts quantiles of its values. The
library's module scales a window by its own context and takes NaN for missing.
"""

import copy
import math
from collections.abc import Mapping
from typing import Any

import torch
from chronos import Chronos2Pipeline
from chronos.chronos2 import Chronos2Model
from chronos.chronos2.config import Chronos2CoreConfig
from jaxtyping import Float
from torch import Tensor, nn

from tasks.errors import ParamsError
from tasks.models.interface import Forecast, Outputs
from tasks.models.stacks import Stack
from tasks.models.zoo.family import ZooModel, outputs_on_data_scale


class Chronos2(ZooModel):
    """Chronos-2 of any size; its mean is the median, as in its own pipeline.

    The future's patches see each other, so a forecast of fewer patches is not the beginning of a
    longer one.
    """

    stacks: tuple[Stack, ...] = (
        Stack(
            path="encoder.block",
            depth="num_layers",
            norm="encoder.final_layer_norm",
            output="layer.2.mlp.wo",
        ),
    )

    @classmethod
    def complete(cls, data: dict[str, Any]) -> dict[str, Any]:
        """The library's config with its defaults filled in, as config.json of a checkpoint."""
        whole: dict[str, Any] = Chronos2CoreConfig.from_dict(copy.deepcopy(data)).to_dict()
        whole.pop("transformers_version", None)
        return whole | {
            "architectures": ["Chronos2Model"],
            "chronos_pipeline_class": "Chronos2Pipeline",
        }

    @classmethod
    def build_backbone(cls, data: Mapping[str, Any]) -> nn.Module:
        """The library's module with random weights, from its own config as data."""
        if "chronos_config" not in data:
            raise ParamsError("chronos2 needs `chronos_config` in its config or shape")
        # a copy, because the module writes its defaults into the config
        config = Chronos2CoreConfig.from_dict(copy.deepcopy(dict(data)))
        model: nn.Module = Chronos2Model(config)
        return model

    @classmethod
    def count_blocks(cls, data: Mapping[str, Any]) -> int:
        """Encoder blocks."""
        return int(data["num_layers"])

    def tail(self) -> list[nn.Module]:
        """The final norm and the head."""
        return [*super().tail(), self.backbone.output_patch_embedding]

    @property
    def _levels(self) -> list[float]:
        return [round(float(level), 6) for level in self.backbone.chronos_config.quantiles]

    @property
    def _own_horizon(self) -> int:
        library = self.backbone.chronos_config
        return int(library.max_output_patches * library.output_patch_size)

    def _patches(self, horizon: int) -> int:
        return math.ceil(horizon / int(self.backbone.chronos_config.output_patch_size))

    def outputs(self, window: Float[Tensor, "B length"]) -> Outputs:
        """The median forecasts; the loss is the library's, of all its quantiles.

        Steps beyond the library's own horizon take no part.
        """
        context = self.config.context
        own = min(self.config.horizon, self._own_horizon)
        found = self.backbone(
            context=window[:, :context],
            future_target=window[:, context : context + own],
            num_output_patches=self._patches(own),
        )
        median: Tensor = found.quantile_preds[:, self._levels.index(0.5), :own]
        return outputs_on_data_scale(median, window, context, found.loss)

    def forecast(self, context: Float[Tensor, "B context"], horizon: int) -> Forecast:
        """Quantiles of the next `horizon` values; beyond its own horizon as its pipeline rolls."""
        if horizon <= self._own_horizon:
            patches = self._patches(horizon)
            found = self.backbone(context=context, num_output_patches=patches)
            values = found.quantile_preds[..., :horizon]
        else:
            rolled = Chronos2Pipeline(self.backbone).predict(
                context[:, None].cpu(), prediction_length=horizon, batch_size=len(context)
            )
            values = torch.cat(rolled).to(context.device)
        quantiles = {level: values[:, place] for place, level in enumerate(self._levels)}
        return Forecast(quantiles[0.5], quantiles)

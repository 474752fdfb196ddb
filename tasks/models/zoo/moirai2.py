"""Moirai 2.0 (Liu et al. 2025, arXiv 2511.11698; uni2ts 2.0): a decoder with quantile heads.

Its last token forecasts quantiles of the next few patches at once; further ones follow by taking
every quantile for the truth in turn.
"""

from collections.abc import Mapping
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from tasks.models.interface import Forecast, Outputs
from tasks.models.stacks import Stack
from tasks.models.zoo.family import ZooModel, outputs_on_data_scale
from tasks.models.zoo.moirai2_net import Moirai2Net
from tasks.models.zoo.moirai_encoder import STACK, check_fields

DEFAULTS = {
    "patch_size": 16,
    "num_predict_token": 4,
    "quantile_levels": [tenths / 10 for tenths in range(1, 10)],
    "max_seq_len": 512,
    "attn_dropout_p": 0.0,
    "dropout_p": 0.0,
    "scaling": True,
}


def pinball_loss(
    quantiles: Float[Tensor, "B Q H"], target: Float[Tensor, "B H"], levels: Float[Tensor, " Q"]
) -> Float[Tensor, ""]:
    """The library's loss: pinball, mean over levels and observed values, then over series."""
    observed = torch.isfinite(target)
    error = torch.where(observed, target, 0.0)[:, None] - quantiles
    weight = torch.where(error > 0, levels[:, None], 1 - levels[:, None])
    losses = torch.where(observed, (weight * error.abs()).mean(1), 0.0)
    return (losses.sum(1) / observed.sum(1).clamp(min=1)).mean()


class Moirai2(ZooModel):
    """Moirai 2, for one series at a time; its mean is the median, as quantiles are all it has."""

    stacks: tuple[Stack, ...] = (STACK,)

    @classmethod
    def complete(cls, data: dict[str, Any]) -> dict[str, Any]:
        """The library's config with its defaults filled in, as config.json of a checkpoint."""
        check_fields("moirai2", data, ("d_model", "d_ff", "num_layers"))
        return {**DEFAULTS, **data}

    @classmethod
    def build_backbone(cls, data: Mapping[str, Any]) -> nn.Module:
        """The module with random weights, from the library's config as data."""
        return Moirai2Net(data)

    @classmethod
    def count_blocks(cls, data: Mapping[str, Any]) -> int:
        """Blocks of the decoder."""
        return int(data["num_layers"])

    def embedding_map(self) -> nn.Module:
        """The last map before the first block; the linear map beside it adds to its output."""
        layer: nn.Module = self.backbone.in_proj.output_layer
        return layer

    def tail(self) -> list[nn.Module]:
        """The final norm and the head."""
        return [*super().tail(), self.backbone.out_proj]

    def _cut(self, context: Float[Tensor, "B context"]) -> Float[Tensor, "B cut"]:
        longest = int(self.config.backbone_config["max_seq_len"]) * self.backbone.patch
        return context[:, -longest:]

    def outputs(self, window: Float[Tensor, "B length"]) -> Outputs:
        """The median forecasts; the loss is the library's, of all its quantiles as scaled inside.

        Steps beyond one pass of the model take no part.
        """
        context, net = self.config.context, self.backbone
        own = min(self.config.horizon, net.ahead * net.patch)
        scaled, loc, scale = net(*net.tokens(self._cut(window[:, :context])))
        scaled = scaled.transpose(1, 2).flatten(2)[..., :own]  # [B, Q, H]
        levels = torch.tensor(net.levels, dtype=scaled.dtype, device=scaled.device)
        target = (window[:, context : context + own] - loc) / scale
        median = scaled[:, net.levels.index(0.5)] * scale + loc
        loss = pinball_loss(scaled, target, levels)
        return outputs_on_data_scale(median, window, context, loss)

    def forecast(self, context: Float[Tensor, "B context"], horizon: int) -> Forecast:
        """Quantiles of the next `horizon` values; beyond one pass rolled as the library does."""
        found = self.backbone.quantiles(self._cut(context), horizon)
        quantiles = {level: found[:, place] for place, level in enumerate(self.backbone.levels)}
        return Forecast(quantiles[0.5], quantiles)

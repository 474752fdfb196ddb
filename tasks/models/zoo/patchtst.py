"""PatchTST (Nie et al. 2023, arXiv 2211.14730; transformers): an encoder on patches, one head.

The library's channels do not see each other and share their weights, so a checkpoint of several
channels forecasts single ones; its config is given back with the channels it came with.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from transformers import PatchTSTConfig, PatchTSTForPrediction

from tasks.errors import ParamsError
from tasks.models.interface import Forecast, LossSpec, Outputs, loss_between
from tasks.models.normalise import fit_length
from tasks.models.stacks import Stack
from tasks.models.zoo.family import Plan, ZooConfig, ZooModel, outputs_on_data_scale
from tasks.models.zoo.gaps import filled
from tasks.models.zoo.library import build_model, family_config
from tasks.sections.data import Windows

STACK = Stack(path="model.encoder.layers", depth="num_hidden_layers", norm="head")
PRE_NORM_STACK = Stack(path=STACK.path, depth=STACK.depth, norm=STACK.norm, output="ff.3")
NEEDED = {  # what univariate point forecasts ask of a config
    "share_embedding": True,
    "share_projection": True,
    "channel_attention": False,
    "loss": "mse",
}


class PatchTst(ZooModel):
    """PatchTST with a point forecast. A shape without lengths takes those of the windows."""

    stacks: tuple[Stack, ...] = (STACK,)

    def __init__(self, config: ZooConfig) -> None:
        """Builds with random weights from torch's global seed."""
        super().__init__(config)
        # after its MLP a post-norm block still has a norm: no linear map ends it
        self.stacks = (PRE_NORM_STACK if config.backbone_config["pre_norm"] else STACK,)

    @classmethod
    def plan(cls, data: Mapping[str, Any], windows: Windows, options: Mapping[str, Any]) -> Plan:
        """As `ZooModel.plan`."""
        lengths = {"context_length": windows.context, "prediction_length": windows.horizon}
        return super().plan({**lengths, **data}, windows, options)

    @classmethod
    def complete(cls, data: dict[str, Any]) -> dict[str, Any]:
        """The library's config with its defaults filled in. Raises ParamsError as it must."""
        whole = family_config(PatchTSTConfig, data, PatchTSTForPrediction)
        for field, value in NEEDED.items():
            if whole[field] != value:
                raise ParamsError(
                    f"shape: {field} must be {value} for point forecasts of single channels; "
                    f"got {whole[field]!r}"
                )
        return whole

    @classmethod
    def build_backbone(cls, data: Mapping[str, Any]) -> nn.Module:
        """The library's module with random weights, for one channel and without masking."""
        single = {**data, "num_input_channels": 1, "do_mask_input": False}
        return build_model(PatchTSTForPrediction, PatchTSTConfig, single)

    @classmethod
    def count_blocks(cls, data: Mapping[str, Any]) -> int:
        """Blocks of the encoder."""
        return int(data["num_hidden_layers"])

    def embedding_map(self) -> nn.Module | None:
        """The patch embedding; None where a class token stands before the patches."""
        if self.backbone.config.use_cls_token:
            return None
        embedding: nn.Module = self.backbone.model.encoder.embedder.input_embedding
        return embedding

    def _block(self, context: Float[Tensor, "B context"]) -> Float[Tensor, "B steps"]:
        context = fit_length(context, self.backbone.config.context_length)
        # the library centres a missing 0 like a value, so that gaps need values of the series
        found: Tensor = self.backbone(
            past_values=filled(context)[..., None],
            past_observed_mask=torch.isfinite(context)[..., None],
        ).prediction_outputs
        return found[..., 0]

    def outputs(self, window: Float[Tensor, "B length"]) -> Outputs:
        """The forecasts; the loss is the library's, the squared error on the scale of the data.

        Steps beyond the library's own horizon take no part.
        """
        context = self.config.context
        found = self._block(window[:, :context])[:, : self.config.horizon]
        made = outputs_on_data_scale(found, window, context)
        loss = loss_between(made.prediction, made.target, made, LossSpec(kind="mse"))
        return replace(made, loss=loss)

    def forecast(self, context: Float[Tensor, "B context"], horizon: int) -> Forecast:
        """The next `horizon` values; beyond its own horizon its forecasts join the context."""
        pieces = [self._block(context)]
        while sum(piece.shape[1] for piece in pieces) < horizon:
            context = torch.cat([context, pieces[-1]], dim=1)
            pieces.append(self._block(context))
        return Forecast(torch.cat(pieces, dim=1)[:, :horizon])

"""MOMENT (Goswami et al. 2024, arXiv 2402.03885; momentfm 0.1.4): a T5 encoder on patches of 8.

The published checkpoints hold a head that reconstructs patches and none that forecasts. A model
made of one starts with a random forecasting head, says so in its origin, and has to be tuned before
its forecasts, scores or pruned versions mean anything.
"""

from collections.abc import Mapping
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from transformers import T5Config

from tasks.errors import ParamsError
from tasks.models.interface import Forecast, Outputs
from tasks.models.normalise import fit_length
from tasks.models.stacks import Stack
from tasks.models.zoo.family import Plan, ZooModel, outputs_on_data_scale
from tasks.models.zoo.moment_net import MomentNet
from tasks.models.zoo.t5 import BIAS
from tasks.sections.data import Windows

TASK = "forecasting"
HEAD = ("head.linear.weight", "head.linear.bias")
NEW_HEAD = "with a new forecasting head, to be tuned first"
DEFAULTS: dict[str, Any] = {
    "model_name": "MOMENT",
    "transformer_type": "encoder_only",
    "transformer_backbone": "google/flan-t5-large",
    "d_model": None,
    "seq_len": 512,
    "patch_len": 8,
    "patch_stride_len": 8,
    "patch_dropout": 0.1,
    "head_dropout": 0.1,
    "device": "cpu",
    "model_kwargs": {},
}


class Moment(ZooModel):
    """MOMENT of any size, for one series at a time; point forecasts."""

    stacks: tuple[Stack, ...] = (
        Stack(
            path="encoder.block",
            depth="t5_config.num_layers",
            norm="encoder.final_layer_norm",
            carried=BIAS,
            output="layer.1.DenseReluDense.wo",
        ),
    )

    @classmethod
    def plan(cls, data: Mapping[str, Any], windows: Windows, options: Mapping[str, Any]) -> Plan:
        """As `ZooModel.plan`; the head forecasts the windows' horizon.

        A config that has a forecasting head already keeps it.
        """
        if data.get("task_name") != TASK or "forecast_horizon" not in data:
            data = {**data, "task_name": TASK, "forecast_horizon": windows.horizon}
        return super().plan(data, windows, options)

    @classmethod
    def complete(cls, data: dict[str, Any]) -> dict[str, Any]:
        """The library's config with its defaults filled in, as config.json of a checkpoint."""
        if "t5_config" not in data:
            raise ParamsError("moment needs `t5_config` in its config or shape")
        whole = {**DEFAULTS, **data}
        if whole["patch_stride_len"] != whole["patch_len"] or whole["seq_len"] % whole["patch_len"]:
            raise ParamsError(
                "moment: seq_len must be whole patches side by side; got seq_len "
                f"{whole['seq_len']}, patch_len {whole['patch_len']}, patch_stride_len "
                f"{whole['patch_stride_len']}"
            )
        t5: dict[str, Any] = T5Config.from_dict(dict(whole["t5_config"])).to_dict()
        t5.pop("transformers_version", None)
        return whole | {"t5_config": t5}

    @classmethod
    def build_backbone(cls, data: Mapping[str, Any]) -> nn.Module:
        """The module with random weights, from the library's config as data."""
        return MomentNet(data)

    @classmethod
    def count_blocks(cls, data: Mapping[str, Any]) -> int:
        """Blocks of the encoder."""
        return int(data["t5_config"]["num_layers"])

    def tensors_to_load(self, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """The tensors to load, with a new head where the checkpoint has none that forecasts."""
        patch_head = (self.backbone.patch, self.backbone.patch_embedding.mask_embedding.numel())
        found = tensors.get(HEAD[0])
        if found is not None and tuple(found.shape) != patch_head:
            return dict(tensors)
        self.set_origin(f"{self.config.origin} {NEW_HEAD}")
        own = self.backbone.state_dict()
        return {**tensors, **{name: own[name] for name in HEAD}}

    def _unused_parameters(self) -> int:
        unused = [self.backbone.encoder.embed_tokens.weight]
        unused.append(self.backbone.patch_embedding.mask_embedding)
        return sum(parameter.numel() for parameter in unused)

    def embedding_map(self) -> nn.Module:
        """The patch embedding, to which only the positions are added."""
        layer: nn.Module = self.backbone.patch_embedding.value_embedding
        return layer

    def tail(self) -> list[nn.Module]:
        """The final norm and the head."""
        return [*super().tail(), self.backbone.head]

    def _once(self, context: Float[Tensor, "B context"]) -> Float[Tensor, "B own"]:
        forecast: Tensor = self.backbone(fit_length(context, self.backbone.length))
        return forecast

    def outputs(self, window: Float[Tensor, "B length"]) -> Outputs:
        """The forecasts; the loss is the library's, the mean square on the scale of the data.

        Steps beyond the head's own horizon take no part.
        """
        context = self.config.context
        prediction = self._once(window[:, :context])[:, : self.config.horizon]
        target = window[:, context : context + prediction.shape[1]]
        observed = torch.isfinite(target)
        squares = torch.where(observed, target - prediction, 0.0).square()
        loss = squares.sum() / observed.sum().clamp(min=1)
        return outputs_on_data_scale(prediction, window, context, loss)

    def forecast(self, context: Float[Tensor, "B context"], horizon: int) -> Forecast:
        """Forecasts of the next `horizon` values; beyond the head's own each joins the context."""
        pieces = [self._once(context)]
        while sum(piece.shape[1] for piece in pieces) < horizon:
            context = torch.cat([context, pieces[-1]], dim=1)
            pieces.append(self._once(context))
        return Forecast(torch.cat(pieces, dim=1)[:, :horizon])

"""MOMENT as a plain module: patches -> transformers' T5 encoder -> linear forecast of the horizon.

Written after momentfm 0.1.4 (Goswami et al. 2024, arXiv 2402.03885), for one series at a time and
its task "forecasting". Names of parameters are those of AutonLab/MOMENT-1.

Shapes: B series, L values, T patches, P patch, W width, H horizon.
"""

from collections.abc import Mapping
from math import log
from typing import Any

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn
from transformers import T5Config
from transformers.models.t5.modeling_t5 import T5Stack

from tasks.models.activations import checkpoint_blocks

EPSILON = 1e-5  # added to the standard deviation
POSITIONS = 5000
GAIN = 1.41  # of the orthogonal initialisation


def standards(
    values: Float[Tensor, "B L"], observed: Bool[Tensor, "B L"]
) -> tuple[Float[Tensor, "B 1"], Float[Tensor, "B 1"]]:
    """Mean and standard deviation of the observed values; 0 where there are none."""
    count = observed.sum(1, keepdim=True).clamp(min=1)
    mean = torch.where(observed, values, 0.0).sum(1, keepdim=True) / count
    squares = torch.where(observed, values - mean, 0.0).square().sum(1, keepdim=True)
    return mean, (squares / count).sqrt() + EPSILON


class Positions(nn.Module):
    """Sines and cosines by position; a buffer that checkpoints hold."""

    pe: Tensor

    def __init__(self, width: int) -> None:
        super().__init__()
        rates = (torch.arange(0, width, 2).float() * -(log(10000.0) / width)).exp()
        angles = torch.arange(POSITIONS).float()[:, None] * rates
        pe = torch.stack((angles.sin(), angles.cos()), dim=-1).flatten(-2)
        self.register_buffer("pe", pe[None])


class PatchEmbedding(nn.Module):
    """A linear map of patches, plus their positions."""

    def __init__(self, patch: int, width: int, dropout: float) -> None:
        super().__init__()
        self.value_embedding = nn.Linear(patch, width, bias=False)
        nn.init.orthogonal_(self.value_embedding.weight, gain=GAIN)
        self.mask_embedding = nn.Parameter(torch.zeros(width))  # only pretraining uses it
        self.position_embedding = Positions(width)
        self.dropout = nn.Dropout(dropout)

    def forward(self, patches: Float[Tensor, "B T P"]) -> Float[Tensor, "B T W"]:
        """The tokens of the encoder."""
        positions = self.position_embedding.pe[:, : patches.shape[1]]
        tokens: Tensor = self.dropout(self.value_embedding(patches) + positions)
        return tokens


class ForecastHead(nn.Module):
    """A linear map from all tokens to the horizon."""

    def __init__(self, inputs: int, horizon: int, dropout: float) -> None:
        super().__init__()
        self.linear = nn.Linear(inputs, horizon)
        self.dropout = nn.Dropout(dropout)

    def forward(self, hidden: Float[Tensor, "B T W"]) -> Float[Tensor, "B H"]:
        """The scaled forecast."""
        forecast: Tensor = self.dropout(self.linear(hidden.flatten(1)))
        return forecast


class MomentNet(nn.Module):
    """The module of a config as its library writes it (see `moment.Moment.complete`)."""

    def __init__(self, data: Mapping[str, Any]) -> None:
        super().__init__()
        t5 = T5Config.from_dict(dict(data["t5_config"]))
        t5.use_cache, t5.is_encoder_decoder = False, False
        width = int(data["d_model"] or t5.d_model)
        self.patch, self.length = int(data["patch_len"]), int(data["seq_len"])
        self.patch_embedding = PatchEmbedding(self.patch, width, float(data["patch_dropout"]))
        self.encoder = T5Stack(t5)
        inputs = self.length // self.patch * width
        dropout = float(data["head_dropout"])
        self.head = ForecastHead(inputs, int(data["forecast_horizon"]), dropout)

    def activation_checkpointing_enable(self) -> None:
        """Makes training keep no activations inside blocks."""
        checkpoint_blocks(self.encoder)

    def forward(self, context: Float[Tensor, "B L"]) -> Float[Tensor, "B H"]:
        """Forecasts of contexts of exactly the config's length; NaN = missing.

        Attention sees only patches without a gap, or all where none is whole.
        """
        observed = torch.isfinite(context)
        filled = torch.where(observed, context, 0.0)
        mean, scale = standards(filled, observed)
        scaled = torch.where(observed, (filled - mean) / scale, 0.0)
        tokens = self.patch_embedding(scaled.unflatten(1, (-1, self.patch)))
        whole = observed.unflatten(1, (-1, self.patch)).all(-1)
        visible = whole | ~whole.any(1, keepdim=True)
        hidden = self.encoder(inputs_embeds=tokens, attention_mask=visible.long())
        forecast: Tensor = self.head(hidden.last_hidden_state) * scale + mean
        return forecast

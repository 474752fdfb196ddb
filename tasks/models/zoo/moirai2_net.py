"""Moirai 2 as a plain module: a decoder that forecasts quantiles of several patches at once.

Written after uni2ts 2.0 (Liu et al. 2025, arXiv 2511.11698), for one series at a time. Names of
parameters are those of Salesforce/moirai-2.0-R-small.

Shapes: B series, L values, T tokens, P patch, Q quantiles, A patches ahead, W width,
H horizon.
"""

from collections.abc import Mapping
from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from tasks.models.zoo.moirai_encoder import Encoder, cut_patches, standards, time_ids


def causal_mean(context: Float[Tensor, "B L"]) -> Float[Tensor, "B L"]:
    """The context with every gap filled by the mean of what came before it, as GluonTS does.

    In those means a gap counts as the last value before it, one at the start as the first value
    observed. All gaps: 0.
    """
    observed = torch.isfinite(context)
    places = torch.arange(context.shape[1], device=context.device).expand_as(context)
    last = torch.where(observed, places, -1).cummax(1).values
    first = observed.long().argmax(1, keepdim=True)
    known = torch.where(observed, context, 0.0)
    held = known.gather(1, torch.where(last < 0, first, last))
    before = held.double().cumsum(1) - held
    means = torch.where(places == 0, held.double(), before / places.clamp(min=1))
    return torch.where(observed, context, means.to(context.dtype))


class ResidualMap(nn.Module):
    """An MLP of one hidden layer beside a linear map of its input."""

    def __init__(self, inputs: int, hidden: int, outputs: int) -> None:
        super().__init__()
        self.hidden_layer = nn.Linear(inputs, hidden)
        self.output_layer = nn.Linear(hidden, outputs)
        self.residual_layer = nn.Linear(inputs, outputs)

    def forward(self, given: Float[Tensor, "B T inputs"]) -> Float[Tensor, "B T outputs"]:
        """The sum of both."""
        inner = F.silu(self.hidden_layer(given))
        found: Tensor = self.output_layer(inner) + self.residual_layer(given)
        return found


class Moirai2Net(nn.Module):
    """The module of a config as its library writes it (see `moirai2.Moirai2.complete`)."""

    def __init__(self, data: Mapping[str, Any]) -> None:
        super().__init__()
        width = int(data["d_model"])
        self.patch, self.ahead = int(data["patch_size"]), int(data["num_predict_token"])
        self.levels = [float(level) for level in data["quantile_levels"]]
        self.scaling = bool(data["scaling"])
        self.in_proj = ResidualMap(2 * self.patch, width, width)
        self.encoder = Encoder(data)
        self.out_proj = ResidualMap(width, width, self.ahead * len(self.levels) * self.patch)

    def activation_checkpointing_enable(self) -> None:
        """Makes training keep no activations inside blocks."""
        self.encoder.keeps_activations = False

    def forward(
        self,
        values: Float[Tensor, "B T P"],
        observed: Bool[Tensor, "B T P"],
        time: Int[Tensor, "B T"],
    ) -> tuple[Float[Tensor, "B A Q P"], Float[Tensor, "B 1"], Float[Tensor, "B 1"]]:
        """Quantiles of the patches behind the last token, scaled by the mean and scale returned."""
        loc, scale = standards(values.flatten(1), observed.flatten(1))
        if not self.scaling:
            loc, scale = torch.zeros_like(loc), torch.ones_like(scale)
        scaled = (values - loc[..., None]) / scale[..., None]
        hidden = self.in_proj(torch.cat([scaled, observed.to(scaled.dtype)], dim=-1))
        visible = time[:, None, None, :] <= time[:, None, :, None]
        last = self.out_proj(self.encoder(hidden, time, visible)[:, -1:])[:, 0]
        return last.unflatten(-1, (self.ahead, len(self.levels), self.patch)), loc, scale

    def _next(self, values: Tensor, observed: Tensor, time: Tensor) -> Float[Tensor, "B A Q P"]:
        found, loc, scale = self(values, observed, time)
        quantiles: Tensor = found * scale[..., None, None] + loc[..., None, None]
        return quantiles

    def tokens(
        self, context: Float[Tensor, "B L"]
    ) -> tuple[Float[Tensor, "B T P"], Bool[Tensor, "B T P"], Int[Tensor, "B T"]]:
        """Values, which of them were observed, and places in time; NaN in the context = missing."""
        observed = cut_patches(torch.isfinite(context), self.patch)
        return cut_patches(causal_mean(context), self.patch), observed, time_ids(observed)

    def quantiles(
        self, context: Float[Tensor, "B L"], horizon: int
    ) -> Float[Tensor, "B Q horizon"]:
        """Quantiles of the next `horizon` values.

        Beyond the patches that one pass forecasts every quantile is taken for the truth in turn;
        the quantiles of what follows are those of all these paths' quantiles together.
        """
        values, observed, time = self.tokens(context)
        pieces = [self._next(values, observed, time).transpose(1, 2)]  # [B, Q, A, P]
        paths = len(self.levels)
        levels = torch.tensor(self.levels, dtype=context.dtype, device=context.device)
        if self.ahead * self.patch < horizon:
            values, observed, time = (
                one.repeat_interleave(paths, dim=0) for one in (values, observed, time)
            )
        while len(pieces) * self.ahead * self.patch < horizon:
            known = pieces[-1].flatten(0, 1)  # [B * Q, A, P]
            steps = torch.arange(1, self.ahead + 1, device=context.device)
            values = torch.cat([values, known], dim=1)
            observed = torch.cat([observed, torch.ones_like(known, dtype=torch.bool)], dim=1)
            time = torch.cat([time, time[:, -1:] + steps], dim=1)
            found = self._next(values, observed, time).unflatten(0, (-1, paths))
            mixed = torch.quantile(found.transpose(1, 2).flatten(2, 3), levels, dim=2)
            pieces.append(mixed.transpose(0, 1))
        return torch.cat(pieces, dim=2).flatten(2)[..., :horizon]

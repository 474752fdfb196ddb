"""Moirai 1 as a plain module: a masked encoder from a series to a mixture of its future.

Written after uni2ts 2.0 and 1.2 (Woo et al. 2024), for one series at a time and one patch size per
call. Names of parameters are those of Salesforce/moirai-1.0-R and 1.1-R.

Shapes: B series, L values, T tokens.
"""

from collections.abc import Mapping
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from tasks.models.zoo.moirai_encoder import Encoder, cut_patches, standards, time_ids
from tasks.models.zoo.moirai_mixture import Mixture, MixtureHead, SizedInput, SizedOutput


class MoiraiNet(nn.Module):
    """The module of a config as its library writes it (see `moirai.Moirai.complete`)."""

    def __init__(self, data: Mapping[str, Any]) -> None:
        super().__init__()
        width, sizes = int(data["d_model"]), [int(size) for size in data["patch_sizes"]]
        self.scaling = bool(data["scaling"])
        self.mask_encoding = nn.Embedding(1, width)
        self.in_proj = SizedInput(sizes, width)
        self.encoder = Encoder(data)
        self.param_proj = MixtureHead(width, sizes, data["distr_output"])

    def activation_checkpointing_enable(self) -> None:
        """Makes training keep no activations inside blocks."""
        self.encoder.keeps_activations = False

    def forward(self, context: Float[Tensor, "B L"], horizon: int, patch: int) -> Mixture:
        """The distribution of the next `horizon` values; NaN in the context = missing.

        Args:
            context: any number of values.
            horizon: every patch of it is one more masked token, which all others see.
            patch: one of the config's sizes.
        """
        observed = torch.isfinite(context)
        values = torch.where(observed, context, 0.0)
        loc, scale = standards(values, observed)
        if not self.scaling:
            loc, scale = torch.zeros_like(loc), torch.ones_like(scale)
        known = self.in_proj((cut_patches(values, patch) - loc[..., None]) / scale[..., None])
        tokens = -(-horizon // patch)
        masked = self.mask_encoding.weight[None].expand(len(context), tokens, -1)
        past = time_ids(cut_patches(observed, patch))
        ahead = torch.arange(1, tokens + 1, device=context.device)
        hidden = self.encoder(
            torch.cat([known, masked], dim=1), torch.cat([past, past[:, -1:] + ahead], dim=1)
        )
        found: Mixture = self.param_proj(hidden[:, -tokens:], patch, horizon, loc, scale)
        return found

    def unused(self, patch: int) -> int:
        """How many parameters take no part where this patch size is used."""
        sized = [one for one in self.modules() if isinstance(one, (SizedInput, SizedOutput))]
        total = sum(p.numel() for module in sized for p in module.parameters())
        return total - sum(module.used(patch) for module in sized)

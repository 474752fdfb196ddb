"""Timer's net (Liu et al. 2024, arXiv 2402.02368), with the keys of thuml/timer-base-84m.

Patches -> linear embedding -> decoder with rotary positions, normed behind each sum -> linear
heads, each of which forecasts its number of values from every token.

Shapes: B batch, N tokens, W width.
"""

from typing import Annotated

import torch
import torch.nn.functional as F
from jaxtyping import Float
from pydantic import Field
from torch import Tensor, nn

from tasks.models.zoo.decoder import (
    DecoderNet,
    DecoderShape,
    Fraction,
    Lengths,
    NormedBlock,
    PatchDecoder,
    Tables,
    fitting_head,
    standardised,
    values_after,
)
from tasks.sections.base import Count


class TimerShape(DecoderShape):
    """Fields of config.json; the defaults are those of the published checkpoint."""

    input_token_len: Count = 96
    hidden_size: Count = 1024
    intermediate_size: Count = 2048
    output_token_lens: Lengths = (96,)
    num_hidden_layers: Annotated[int, Field(ge=0)] = 8
    num_attention_heads: Count = 8
    attention_dropout: Fraction = 0.0
    max_position_embeddings: Count = 10000


class PatchEmbedding(nn.Module):
    """One linear map of a patch."""

    def __init__(self, shape: TimerShape) -> None:
        super().__init__()
        self.patch = shape.input_token_len
        self.emb = nn.Linear(self.patch, shape.hidden_size, bias=False)

    def forward(self, series: Float[Tensor, "B length"]) -> Float[Tensor, "B N W"]:
        """Tokens of the series."""
        tokens: Tensor = self.emb(series.unfold(1, self.patch, self.patch))
        return tokens


class TimerBlock(NormedBlock):
    """Attention and MLP, each added to the stream and then normed with it."""

    def forward(self, hidden: Float[Tensor, "B N W"], tables: Tables) -> Float[Tensor, "B N W"]:
        """The residual stream after the block."""
        hidden = self.norm1(hidden + self.self_attn(hidden, tables))
        output: Tensor = self.norm2(hidden + self.ffn_layer(hidden))
        return output


class TimerNet(DecoderNet):
    """The net of a checkpoint."""

    def __init__(self, shape: TimerShape) -> None:
        super().__init__()
        self.shape = shape
        self.model = PatchDecoder(
            shape, PatchEmbedding(shape), lambda: TimerBlock(shape, shape.attention_dropout)
        )
        self.lm_heads = nn.ModuleList(
            nn.Linear(shape.hidden_size, length, bias=False) for length in shape.output_token_lens
        )
        self.draw_weights(shape.initializer_range)

    def whole_patches(self, series: Float[Tensor, "B given"]) -> Float[Tensor, "B length"]:
        """The last values that fill patches; a series below one patch begins with its first value.

        The published code refuses so short a series.
        """
        patch, given = self.shape.input_token_len, series.shape[1]
        if given < patch:
            return F.pad(series[:, None], (patch - given, 0), mode="replicate")[:, 0]
        return series[:, given % patch :]

    def generate(
        self, context: Float[Tensor, "B length"], horizon: int
    ) -> Float[Tensor, "B horizon"]:
        """The next values, without gaps in the context.

        Rolled as the published code rolls with its cache: each piece of a forecast goes on as
        patches that are normalised by the piece itself, and gives the next one its scale.
        """
        values, mean, scale = standardised(self.whole_patches(context))
        pieces: list[Tensor] = []
        while (missing := horizon - sum(piece.shape[1] for piece in pieces)) > 0:
            number = fitting_head(self.shape.output_token_lens, missing)
            state = self.model(self.whole_patches(values))[:, -1]
            piece = self.lm_heads[number](state)[:, :missing].float() * scale + mean
            pieces.append(piece)
            if piece.shape[1] < missing:
                normed, mean, scale = standardised(piece)
                values = torch.cat([values, normed], dim=1)
        return torch.cat(pieces, dim=1)

    def forecast_and_loss(
        self,
        context: Float[Tensor, "B context"],
        window: Float[Tensor, "B length"],
        horizon: int,
    ) -> tuple[Float[Tensor, "B piece"], Float[Tensor, ""]]:
        """The first piece of a forecast, and the mean squared error of every head from every token.

        Args:
            context: the first values of the window, without gaps.
            window: what follows the tokens, NaN = missing.
            horizon: the piece is at most that long.
        """
        values, mean, scale = standardised(self.whole_patches(context))
        states, observed = self.model(values), torch.isfinite(window)
        length, patch = context.shape[1], self.shape.input_token_len
        ends = range(length - (states.shape[1] - 1) * patch, length + 1, patch)
        losses = []
        for head in self.lm_heads:
            found = head(states).float()
            target, known = values_after((window - mean) / scale, observed, ends, found.shape[-1])
            error = F.mse_loss(found, torch.where(known, target, found.detach()), reduction="sum")
            losses.append(error / known.sum().clamp(min=1))
        number = fitting_head(self.shape.output_token_lens, horizon)
        piece = self.lm_heads[number](states[:, -1])[:, :horizon].float() * scale + mean
        return piece, torch.stack(losses).mean()

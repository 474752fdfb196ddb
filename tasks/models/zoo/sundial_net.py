"""Sundial's net (Liu et al. 2025, arXiv 2502.00816), with the keys of thuml/sundial-base-128m.

Patches of values and a mask -> residual MLP -> decoder with rotary positions -> samples of the next
values from the last token's state (flow_matching.py).

Shapes: B batch, N tokens, W width, S samples, H values that are sampled at once.
"""

from typing import Annotated

import torch
import torch.nn.functional as F
from jaxtyping import Float
from pydantic import Field
from torch import Tensor, nn
from transformers.activations import ACT2FN

from tasks.models.zoo.decoder import (
    DecoderNet,
    DecoderShape,
    Fraction,
    Lengths,
    NormedBlock,
    PatchDecoder,
    Tables,
    values_after,
)
from tasks.models.zoo.flow_matching import FlowLoss
from tasks.sections.base import Count

EPSILON = 1e-5


class SundialShape(DecoderShape):
    """Fields of config.json; the defaults are those of the published configuration class."""

    input_token_len: Count = 16
    hidden_size: Count = 768
    intermediate_size: Count = 3072
    output_token_lens: Lengths = (720,)
    num_hidden_layers: Annotated[int, Field(ge=0)] = 12
    num_attention_heads: Count = 12
    dropout_rate: Fraction = 0.1
    max_position_embeddings: Count = 10000
    flow_loss_depth: Count = 3
    num_sampling_steps: Count = 50
    diffusion_batch_mul: Count = 4


class PatchEmbedding(nn.Module):
    """Residual MLP over a patch and its mask; the first patch is padded on the left."""

    def __init__(self, shape: SundialShape) -> None:
        super().__init__()
        self.patch, inputs = shape.input_token_len, 2 * shape.input_token_len
        self.dropout = nn.Dropout(shape.dropout_rate)
        self.hidden_layer = nn.Linear(inputs, shape.intermediate_size)
        self.activation = ACT2FN[shape.hidden_act]
        self.output_layer = nn.Linear(shape.intermediate_size, shape.hidden_size)
        self.residual_layer = nn.Linear(inputs, shape.hidden_size)

    def forward(self, series: Float[Tensor, "B length"]) -> Float[Tensor, "B N W"]:
        """Tokens of the series."""
        padding = (-series.shape[1] % self.patch, 0)
        parts = [F.pad(part, padding) for part in (series, torch.ones_like(series))]
        tokens = torch.cat([part.unfold(1, self.patch, self.patch) for part in parts], dim=-1)
        inner = self.activation(self.hidden_layer(tokens))
        output: Tensor = self.dropout(self.output_layer(inner)) + self.residual_layer(tokens)
        return output


class SundialBlock(NormedBlock):
    """Attention and MLP, each behind its norm."""

    def forward(self, hidden: Float[Tensor, "B N W"], tables: Tables) -> Float[Tensor, "B N W"]:
        """The residual stream after the block."""
        hidden = hidden + self.self_attn(self.norm1(hidden), tables)
        output: Tensor = hidden + self.ffn_layer(self.norm2(hidden))
        return output


class SundialNet(DecoderNet):
    """The net of a checkpoint."""

    def __init__(self, shape: SundialShape) -> None:
        super().__init__()
        self.shape = shape
        self.model = PatchDecoder(
            shape, PatchEmbedding(shape), lambda: SundialBlock(shape, shape.dropout_rate)
        )
        self.flow_loss = FlowLoss(
            shape.output_token_lens[-1],
            shape.hidden_size,
            shape.flow_loss_depth,
            shape.num_sampling_steps,
        )
        self.draw_weights(shape.initializer_range)

    def generate(
        self,
        context: Float[Tensor, "B length"],
        horizon: int,
        samples: int = 1,
        seed: int | None = None,
    ) -> Float[Tensor, "B S horizon"]:
        """Samples of the next values, without gaps in the context.

        Beyond the values that it samples at once, the median of the samples is appended to the
        context, as the published code does.

        Args:
            context: at least one value.
            horizon: how many values.
            samples: per window.
            seed: of noise that is the same for every window, so that no forecast depends on the
                other windows of its batch; None: noise of torch's global generator, drawn as the
                published code draws it.
        """
        generator = None if seed is None else torch.Generator().manual_seed(seed)
        values, mean, scale = normalised(context)
        pieces: list[Tensor] = []
        while (missing := horizon - sum(piece.shape[2] for piece in pieces)) > 0:
            state = self.model(values)[:, -1]
            noise = self._noise(len(values), samples, generator, state)
            pieces.append(self.flow_loss.sample(state, noise)[:, :, :missing].float())
            # the lower median, by sorting: `median` has no deterministic form on a GPU
            middle = pieces[-1].sort(dim=1).values[:, (samples - 1) // 2]
            values = torch.cat([values, middle], dim=1)
        return torch.cat(pieces, dim=2) * scale[:, None] + mean[:, None]

    def _noise(
        self, windows: int, samples: int, generator: torch.Generator | None, like: Tensor
    ) -> Tensor:
        # drawn on the CPU, so that a seed gives the same noise on every device
        if generator is None:
            return torch.randn(samples * windows, self.flow_loss.values).to(like)
        noise = torch.randn(samples, self.flow_loss.values, generator=generator)
        return noise.to(like).repeat_interleave(windows, 0)

    def guess_and_loss(
        self,
        context: Float[Tensor, "B context"],
        window: Float[Tensor, "B length"],
        samples: int,
        seed: int,
    ) -> tuple[Float[Tensor, "B H"], Float[Tensor, ""]]:
        """Guesses of the mean of the next values, and the flow matching loss of every token.

        A guess is the mean of samples made in one Euler step: from noise alone the flow can guess
        no better than the mean.

        Args:
            context: the first values of the window, without gaps.
            window: what follows the tokens, NaN = missing.
            samples: per window.
            seed: of their noise.
        """
        values, mean, scale = normalised(context)
        states, observed = self.model(values), torch.isfinite(window)
        generator = torch.Generator().manual_seed(seed)
        noise = self._noise(len(values), samples, generator, states)
        guess = self.flow_loss.sample(states[:, -1], noise, steps=1).mean(1).float() * scale + mean
        length, patch = context.shape[1], self.shape.input_token_len
        ends = range(length - (states.shape[1] - 1) * patch, length + 1, patch)
        target, known = values_after((window - mean) / scale, observed, ends, self.flow_loss.values)
        times = self.shape.diffusion_batch_mul  # noise levels per token
        rows = (part.flatten(0, 1).repeat(times, 1) for part in (target, states, known))
        loss: Tensor = self.flow_loss(*rows)
        return guess, loss


def normalised(
    context: Float[Tensor, "B length"],
) -> tuple[Float[Tensor, "B length"], Float[Tensor, "B 1"], Float[Tensor, "B 1"]]:
    """The values by their mean and standard deviation; the mean; the scale."""
    mean = context.mean(1, keepdim=True)
    scale = context.std(1, keepdim=True, unbiased=False) + EPSILON
    return (context - mean) / scale, mean, scale

"""Time-MoE's net (Shi et al. 2025, arXiv 2409.16040), with the keys of Maple728/TimeMoE-50M.

Single values -> gated embedding -> decoder with rotary positions and a mixture of experts in each
block -> linear heads, each of which forecasts its number of values from every value.

Shapes: B batch, N tokens (values), W width, E experts, K experts per token.
"""

from typing import Annotated, Literal, Self

import torch
import torch.nn.functional as F
from jaxtyping import Float
from pydantic import Field, model_validator
from torch import Tensor, nn
from transformers.activations import ACT2FN

from tasks.models.zoo.decoder import (
    CausalAttention,
    DecoderNet,
    DecoderShape,
    Fraction,
    GatedMlp,
    Lengths,
    RmsNorm,
    Tables,
    fitting_head,
    rotary_tables,
    standardised,
    values_after,
)
from tasks.sections.base import Count, NonNegative

HUBER_DELTA = 2.0


class TimeMoeShape(DecoderShape):
    """Fields of config.json; the defaults are those of the published 50M checkpoint."""

    input_size: Literal[1] = 1
    hidden_size: Count = 384
    intermediate_size: Count = 1536
    horizon_lengths: Lengths = (1, 8, 32, 64)
    num_hidden_layers: Annotated[int, Field(ge=0)] = 12
    num_attention_heads: Count = 12
    num_key_value_heads: Count | None = None  # as many as num_attention_heads
    num_experts_per_tok: Count = 2
    num_experts: Count = 8
    max_position_embeddings: Count = 4096
    rms_norm_eps: Annotated[float, Field(gt=0)] = 1e-6
    use_dense: bool = False
    attention_dropout: Fraction = 0.0
    apply_aux_loss: bool = True
    router_aux_loss_factor: NonNegative = 0.02
    tie_word_embeddings: bool = False

    @property
    def key_value_heads(self) -> int:
        """Heads of keys and values."""
        return self.num_key_value_heads or self.num_attention_heads

    @model_validator(mode="after")
    def _heads_and_experts_fit(self) -> Self:
        if self.num_attention_heads % self.key_value_heads:
            raise ValueError("num_attention_heads must be a multiple of num_key_value_heads")
        if self.num_experts_per_tok > self.num_experts:
            raise ValueError("num_experts_per_tok must be at most num_experts")
        return self


class PointEmbedding(nn.Module):
    """Gated linear embedding of single values."""

    def __init__(self, shape: TimeMoeShape) -> None:
        super().__init__()
        self.emb_layer = nn.Linear(shape.input_size, shape.hidden_size, bias=False)
        self.gate_layer = nn.Linear(shape.input_size, shape.hidden_size, bias=False)
        self.activation = ACT2FN[shape.hidden_act]

    def forward(self, series: Float[Tensor, "B N"]) -> Float[Tensor, "B N W"]:
        """Tokens of the series."""
        points = series[..., None]
        tokens: Tensor = self.activation(self.gate_layer(points)) * self.emb_layer(points)
        return tokens


class Experts(nn.Module):
    """The best K of E gated MLPs for every token, and one that all tokens share."""

    def __init__(self, shape: TimeMoeShape) -> None:
        super().__init__()
        width, self.chosen = shape.hidden_size, shape.num_experts_per_tok
        inner = shape.intermediate_size // self.chosen
        self.gate = nn.Linear(width, shape.num_experts, bias=False)
        self.experts = nn.ModuleList(
            GatedMlp(width, inner, shape.hidden_act) for _ in range(shape.num_experts)
        )
        self.shared_expert = GatedMlp(width, shape.intermediate_size, shape.hidden_act)
        self.shared_expert_gate = nn.Linear(width, 1, bias=False)

    def forward(
        self, hidden: Float[Tensor, "B N W"]
    ) -> tuple[Float[Tensor, "B N W"], Float[Tensor, "B_N E"]]:
        """What the experts add, and the router's logits."""
        tokens = hidden.flatten(0, 1)
        logits = self.gate(tokens)
        shares, numbers = logits.float().softmax(-1).topk(self.chosen, dim=-1)
        mixed = torch.zeros_like(tokens)
        for number, expert in enumerate(self.experts):
            rows, rank = torch.where(numbers == number)
            part = expert(tokens[rows]) * shares[rows, rank, None]
            mixed = mixed.index_add(0, rows, part.to(mixed.dtype))
        shared = torch.sigmoid(self.shared_expert_gate(tokens)) * self.shared_expert(tokens)
        return (mixed + shared).view_as(hidden), logits


class TimeMoeBlock(nn.Module):
    """Attention and experts, each behind its norm."""

    def __init__(self, shape: TimeMoeShape) -> None:
        super().__init__()
        width = shape.hidden_size
        self.self_attn = CausalAttention(
            width, shape.num_attention_heads, shape.key_value_heads, shape.attention_dropout
        )
        self.ffn_layer = (
            GatedMlp(width, shape.intermediate_size, shape.hidden_act)
            if shape.use_dense
            else Experts(shape)
        )
        self.input_layernorm = RmsNorm(width, shape.rms_norm_eps)
        self.post_attention_layernorm = RmsNorm(width, shape.rms_norm_eps)

    def forward(
        self, hidden: Float[Tensor, "B N W"], tables: Tables
    ) -> tuple[Float[Tensor, "B N W"], Float[Tensor, "B_N E"] | None]:
        """The residual stream after the block, and its router's logits where it has one."""
        hidden = hidden + self.self_attn(self.input_layernorm(hidden), tables)
        added = self.ffn_layer(self.post_attention_layernorm(hidden))
        if isinstance(added, Tensor):
            return hidden + added, None
        return hidden + added[0], added[1]


class TimeMoeDecoder(DecoderNet):
    """Embedding, blocks and norm: a series to the states of its values."""

    def __init__(self, shape: TimeMoeShape) -> None:
        super().__init__()
        self.head = shape.hidden_size // shape.num_attention_heads
        self.base = shape.rope_theta
        self.embed_layer = PointEmbedding(shape)
        self.layers = nn.ModuleList(TimeMoeBlock(shape) for _ in range(shape.num_hidden_layers))
        self.norm = RmsNorm(shape.hidden_size, shape.rms_norm_eps)

    def forward(
        self, series: Float[Tensor, "B N"]
    ) -> tuple[Float[Tensor, "B N W"], list[Float[Tensor, "B_N E"]]]:
        """The normed states, and the logits of every router."""
        hidden, routers = self.embed_layer(series), []
        tables = rotary_tables(hidden.shape[1], self.head, self.base, hidden)
        for block in self.layers:
            hidden, logits = self.run_block(block, hidden, tables)
            if logits is not None:
                routers.append(logits)
        return self.norm(hidden), routers


class ForecastHead(nn.Module):
    """A linear head."""

    def __init__(self, width: int, length: int) -> None:
        super().__init__()
        self.out_layer = nn.Linear(width, length, bias=False)

    def forward(self, states: Float[Tensor, "*rows W"]) -> Float[Tensor, "*rows length"]:
        """The values after each token."""
        values: Tensor = self.out_layer(states)
        return values


class TimeMoeNet(DecoderNet):
    """The net of a checkpoint."""

    def __init__(self, shape: TimeMoeShape) -> None:
        super().__init__()
        self.shape = shape
        self.model = TimeMoeDecoder(shape)
        self.lm_heads = nn.ModuleList(
            ForecastHead(shape.hidden_size, length) for length in shape.horizon_lengths
        )
        self.draw_weights(shape.initializer_range)

    def generate(
        self, context: Float[Tensor, "B length"], horizon: int
    ) -> Float[Tensor, "B horizon"]:
        """The next values, without gaps in the context.

        Each step takes the longest head that fits into what is missing, and appends its values.
        """
        values, mean, scale = standardised(context)
        length = values.shape[1]
        while (missing := horizon - (values.shape[1] - length)) > 0:
            number = fitting_head(self.shape.horizon_lengths, missing)
            state = self.model(values)[0][:, -1]
            piece = self.lm_heads[number](state)[:, :missing].float()
            values = torch.cat([values, piece], dim=1)
        return values[:, length:] * scale + mean

    def forecast_and_loss(
        self,
        context: Float[Tensor, "B context"],
        window: Float[Tensor, "B length"],
        horizon: int,
    ) -> tuple[Float[Tensor, "B piece"], Float[Tensor, ""]]:
        """The first piece of a forecast, and the training loss.

        That is the Huber loss of every head from every value, plus the balance of the routers.

        Args:
            context: the first values of the window, without gaps.
            window: what follows the values, NaN = missing.
            horizon: the piece is at most that long.
        """
        values, mean, scale = standardised(context)
        states, routers = self.model(values)
        normed, observed = (window - mean) / scale, torch.isfinite(window)
        ends, losses = range(1, context.shape[1] + 1), []
        for head, length in zip(self.lm_heads, self.shape.horizon_lengths, strict=True):
            found = head(states).float()
            target, known = values_after(normed, observed, ends, length)
            target = torch.where(known, target, found.detach())
            error = F.huber_loss(found, target, reduction="sum", delta=HUBER_DELTA)
            losses.append(error / known.sum().clamp(min=1))
        loss = torch.stack(losses).mean()
        if routers and self.shape.apply_aux_loss:
            balance = load_balance(torch.cat(routers), self.shape.num_experts_per_tok)
            loss = loss + self.shape.router_aux_loss_factor * balance
        number = fitting_head(self.shape.horizon_lengths, horizon)
        piece = self.lm_heads[number](states[:, -1])[:, :horizon].float()
        return piece * scale + mean, loss


def load_balance(logits: Float[Tensor, "tokens E"], chosen: int) -> Float[Tensor, ""]:
    """The loss of Switch Transformers (Fedus et al. 2022): K where experts are used alike."""
    shares, experts = logits.float().softmax(-1), logits.shape[-1]
    used = F.one_hot(shares.topk(chosen, dim=-1).indices, experts).float().mean(0)  # [K, E]
    return (used * shares.mean(0)).sum() * experts

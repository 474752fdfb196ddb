"""The transformer that Moirai 1 and 2 share, and how a series becomes its tokens.

Written after uni2ts 2.0 (Woo et al. 2024, arXiv 2402.02592) for one series at a time: all tokens
are of one variate and one sample, so nothing is packed. Names of parameters are the checkpoints'.

Shapes: B series, L values, P patch, T tokens, W width, N heads, D width of a head.
"""

from collections.abc import Mapping
from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from tasks.errors import ParamsError
from tasks.models.stacks import Stack

EPSILON = 1e-5  # of the norms, and the least variance of a series
HEAD = 64  # width of an attention head
BASE = 10000.0  # of the rotary angles
STACK = Stack(path="encoder.layers", depth="num_layers", norm="encoder.norm", output="ffn.fc2")

Rotation = tuple[Float[Tensor, "B 1 T turned"], Float[Tensor, "B 1 T turned"]]


def check_fields(family: str, data: Mapping[str, Any], fields: tuple[str, ...]) -> None:
    """Raises ParamsError unless a config has these fields and a width made of whole heads."""
    for field in fields:
        if field not in data:
            raise ParamsError(f"{family} needs `{field}` in its config or shape")
    if data["d_model"] % HEAD:
        raise ParamsError(
            f"{family}: d_model must be a multiple of {HEAD}, the width of a head; "
            f"got {data['d_model']}"
        )


def cut_patches(values: Tensor, patch: int) -> Tensor:
    """Patches of [B, L] as [B, T, P]; an incomplete first one is filled with 0 (False)."""
    padded = F.pad(values, (-values.shape[1] % patch, 0))
    return padded.reshape(len(values), -1, patch)


def time_ids(seen: Bool[Tensor, "B T P"]) -> Int[Tensor, "B T"]:
    """Places of tokens in time, counted from the first token that holds an observed value."""
    begun = seen.any(-1).long().cummax(1).values
    return (begun.cumsum(1) - 1).clamp(min=0)


def standards(
    values: Float[Tensor, "B L"], observed: Bool[Tensor, "B L"]
) -> tuple[Float[Tensor, "B 1"], Float[Tensor, "B 1"]]:
    """Mean and standard deviation of the observed values, in double precision inside."""
    exact = torch.where(observed, values, 0.0).double()
    count = observed.sum(1, keepdim=True)
    mean = exact.sum(1, keepdim=True) / count.clamp(min=1)
    squares = torch.where(observed, exact - mean, 0.0).square().sum(1, keepdim=True)
    scale = (squares / (count - 1).clamp(min=1) + EPSILON).sqrt()
    return mean.to(values.dtype), scale.to(values.dtype)


def rotation_of(time: Int[Tensor, "B T"], dtype: torch.dtype) -> Rotation:
    """Cosines and sines of the rotary angles: the first half of a head turns, in pairs."""
    turned = HEAD // 2
    steps = torch.arange(0, turned, 2, device=time.device, dtype=torch.float32) / turned
    angles = time[:, None, :, None] * (1.0 / torch.pow(BASE, steps))
    angles = angles.repeat_interleave(2, dim=-1)
    return angles.cos().to(dtype), angles.sin().to(dtype)


def rotate(heads: Float[Tensor, "B N T D"], rotation: Rotation) -> Float[Tensor, "B N T D"]:
    """Queries or keys turned by their places in time."""
    cos, sin = rotation
    turned, rest = heads.split((cos.shape[-1], heads.shape[-1] - cos.shape[-1]), dim=-1)
    pairs = turned.unflatten(-1, (-1, 2))
    swapped = torch.stack((-pairs[..., 1], pairs[..., 0]), dim=-1).flatten(-2)
    return torch.cat((cos * turned + sin * swapped, rest), dim=-1)


class VariateBias(nn.Module):
    """A bias of attention per head: one for another variate (row 0), one for the same (row 1)."""

    def __init__(self, heads: int) -> None:
        super().__init__()
        self.emb = nn.Embedding(2, heads)

    def forward(self, tokens: int) -> Float[Tensor, "1 N T T"]:
        """The bias between tokens of one variate."""
        same: Tensor = self.emb.weight[1]
        return same[None, :, None, None].expand(1, -1, tokens, tokens)


class Attention(nn.Module):
    """Self-attention with normed queries and keys, rotary in time."""

    def __init__(self, width: int, dropout: float) -> None:
        super().__init__()
        self.dropout = dropout
        self.var_attn_bias = VariateBias(width // HEAD)
        self.q_proj = nn.Linear(width, width, bias=False)
        self.k_proj = nn.Linear(width, width, bias=False)
        self.v_proj = nn.Linear(width, width, bias=False)
        self.q_norm = nn.RMSNorm(HEAD, eps=EPSILON)
        self.k_norm = nn.RMSNorm(HEAD, eps=EPSILON)
        self.out_proj = nn.Linear(width, width, bias=False)

    def forward(
        self,
        hidden: Float[Tensor, "B T W"],
        rotation: Rotation,
        visible: Bool[Tensor, "B 1 T T"] | None,
    ) -> Float[Tensor, "B T W"]:
        """The attended values; `visible` says which keys (last) a query may see."""
        query, key, value = (
            linear(hidden).unflatten(-1, (-1, HEAD)).transpose(1, 2)
            for linear in (self.q_proj, self.k_proj, self.v_proj)
        )
        query, key = rotate(self.q_norm(query), rotation), rotate(self.k_norm(key), rotation)
        bias = self.var_attn_bias(hidden.shape[1])
        if visible is not None:
            bias = bias.masked_fill(~visible, float("-inf"))
        dropout = self.dropout if self.training else 0.0
        mixed = F.scaled_dot_product_attention(
            query, key, value, attn_mask=bias.to(query.dtype), dropout_p=dropout
        )
        attended: Tensor = self.out_proj(mixed.transpose(1, 2).flatten(2))
        return attended


class FeedForward(nn.Module):
    """An MLP gated by SiLU."""

    def __init__(self, width: int, inner: int, dropout: float) -> None:
        super().__init__()
        self.fc1 = nn.Linear(width, inner, bias=False)
        self.fc2 = nn.Linear(inner, width, bias=False)
        self.fc_gate = nn.Linear(width, inner, bias=False)
        self.dropout = nn.Dropout(dropout)

    def forward(self, hidden: Float[Tensor, "B T W"]) -> Float[Tensor, "B T W"]:
        """The change of the residual stream."""
        inner = F.silu(self.fc_gate(hidden)) * self.fc1(hidden)
        changed: Tensor = self.dropout(self.fc2(self.dropout(inner)))
        return changed


class Block(nn.Module):
    """Attention and MLP, each behind a norm."""

    def __init__(self, width: int, inner: int, attention_dropout: float, dropout: float) -> None:
        super().__init__()
        self.self_attn = Attention(width, attention_dropout)
        self.ffn = FeedForward(width, inner, dropout)
        self.norm1 = nn.RMSNorm(width, eps=EPSILON)
        self.norm2 = nn.RMSNorm(width, eps=EPSILON)
        self.dropout = nn.Dropout(dropout)

    def forward(
        self,
        hidden: Float[Tensor, "B T W"],
        rotation: Rotation,
        visible: Bool[Tensor, "B 1 T T"] | None,
    ) -> Float[Tensor, "B T W"]:
        """The residual stream after the block."""
        hidden = hidden + self.dropout(self.self_attn(self.norm1(hidden), rotation, visible))
        changed: Tensor = hidden + self.ffn(self.norm2(hidden))
        return changed


class Encoder(nn.Module):
    """The blocks and the norm behind them.

    The inner width of the MLPs is `d_ff`, or 4 * 2/3 of the width rounded up to a multiple of 8.
    """

    def __init__(self, data: Mapping[str, Any]) -> None:
        super().__init__()
        width = int(data["d_model"])
        inner = int(data.get("d_ff") or (4 * width * 2 // 3 + 7) // 8 * 8)
        dropouts = float(data["attn_dropout_p"]), float(data["dropout_p"])
        self.layers = nn.ModuleList(
            Block(width, inner, *dropouts) for _ in range(int(data["num_layers"]))
        )
        self.norm = nn.RMSNorm(width, eps=EPSILON)
        self.keeps_activations = True

    def forward(
        self,
        hidden: Float[Tensor, "B T W"],
        time: Int[Tensor, "B T"],
        visible: Bool[Tensor, "B 1 T T"] | None = None,
    ) -> Float[Tensor, "B T W"]:
        """The normed states of all tokens."""
        rotation = rotation_of(time, hidden.dtype)
        for block in self.layers:
            if self.training and not self.keeps_activations:
                hidden = checkpoint(block, hidden, rotation, visible, use_reentrant=False)
            else:
                hidden = block(hidden, rotation, visible)
        normed: Tensor = self.norm(hidden)
        return normed

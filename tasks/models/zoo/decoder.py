"""Parts of the decoder-only nets that are built here, named as their checkpoints name them.

Rotary positions (Su et al. 2021) are computed where they are used: no buffer can be left unset by
a loader. There is no cache of keys and values; a rolled forecast runs over the whole series again,
which gives the same values.

Shapes: B batch, N tokens, W width, D width of a head.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Annotated, Any, Self, TypeVar

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint
from transformers.activations import ACT2FN

from tasks.errors import ParamsError
from tasks.sections.base import Count

ROTARY_BASE = 10000.0  # the published code of Sundial and Timer does not read rope_theta
Fraction = Annotated[float, Field(ge=0, lt=1)]
Lengths = Annotated[tuple[Count, ...], Field(min_length=1)]
Tables = tuple[Float[Tensor, "N D"], Float[Tensor, "N D"]]


class DecoderShape(BaseModel):
    """What the nets read of a checkpoint's config.json; its other fields are kept as data."""

    model_config = ConfigDict(extra="ignore", frozen=True, strict=True, allow_inf_nan=False)

    hidden_size: Count
    intermediate_size: Count
    num_hidden_layers: Annotated[int, Field(ge=0)]
    num_attention_heads: Count
    max_position_embeddings: Count
    hidden_act: str = "silu"
    initializer_range: Annotated[float, Field(gt=0)] = 0.02
    rope_theta: Annotated[float, Field(gt=0)] = 10000
    use_cache: bool = True

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if self.hidden_size % (2 * self.num_attention_heads):
            raise ValueError("hidden_size must be a multiple of twice num_attention_heads")
        if self.hidden_act not in ACT2FN:
            raise ValueError(f"transformers knows no activation {self.hidden_act!r} (hidden_act)")
        return self


AnyShape = TypeVar("AnyShape", bound=DecoderShape)


def read_shape(kind: type[AnyShape], data: Mapping[str, Any], family: str) -> AnyShape:
    """The fields of a config that a net is built of.

    Raises:
        ParamsError: a field is missing or out of range, or the config is another family's.
    """
    found = data.get("model_type", family)
    if found != family:
        raise ParamsError(
            f"{family}: the config is of model_type {found!r}; name that family, or the folder of "
            f"a {family} checkpoint"
        )
    lists = {name: tuple(value) for name, value in data.items() if isinstance(value, list)}
    try:
        return kind.model_validate({**data, **lists})
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"]) or "the whole"
        raise ParamsError(
            f"{family}: config field {where}: {first['msg']}; got {str(first['input'])[:80]}; "
            "correct it in `shape` of the entry, or fetch the checkpoint anew"
        ) from error


def rotary_tables(tokens: int, head: int, base: float, like: Tensor) -> Tables:
    """Cosines and sines of `tokens` positions for heads of width `head`."""
    places = torch.arange(0, head, 2, device=like.device).float()
    frequencies = 1.0 / (base ** (places / head))
    angles = torch.outer(torch.arange(tokens, device=like.device).float(), frequencies)
    angles = torch.cat([angles, angles], dim=-1)
    return angles.cos().to(like.dtype), angles.sin().to(like.dtype)


def _rotated(states: Tensor, tables: Tables) -> Tensor:
    cosine, sine = tables
    half = states.shape[-1] // 2
    turned = torch.cat([-states[..., half:], states[..., :half]], dim=-1)
    return states * cosine + turned * sine


class RmsNorm(nn.Module):
    """Divides by the root mean square, computed in fp32 (Zhang and Sennrich 2019)."""

    def __init__(self, width: int, epsilon: float) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(width))
        self.epsilon = epsilon

    def forward(self, hidden: Float[Tensor, "*rows W"]) -> Float[Tensor, "*rows W"]:
        """The normed states."""
        wide = hidden.float()
        normed = wide * torch.rsqrt(wide.square().mean(-1, keepdim=True) + self.epsilon)
        return self.weight * normed.to(hidden.dtype)


class GatedMlp(nn.Module):
    """SwiGLU (Shazeer 2020), without biases."""

    def __init__(self, width: int, inner: int, activation: str) -> None:
        super().__init__()
        self.gate_proj = nn.Linear(width, inner, bias=False)
        self.up_proj = nn.Linear(width, inner, bias=False)
        self.down_proj = nn.Linear(inner, width, bias=False)
        self.activation = ACT2FN[activation]

    def forward(self, hidden: Float[Tensor, "*rows W"]) -> Float[Tensor, "*rows W"]:
        """What the MLP adds."""
        gated = self.activation(self.gate_proj(hidden)) * self.up_proj(hidden)
        output: Tensor = self.down_proj(gated)
        return output


class CausalAttention(nn.Module):
    """Attention of every token to itself and those before it, with rotary positions."""

    def __init__(self, width: int, heads: int, key_heads: int, dropout: float) -> None:
        super().__init__()
        self.heads, self.key_heads = heads, key_heads
        self.head, self.dropout = width // heads, dropout
        self.q_proj = nn.Linear(width, heads * self.head)
        self.k_proj = nn.Linear(width, self.key_heads * self.head)
        self.v_proj = nn.Linear(width, self.key_heads * self.head)
        self.o_proj = nn.Linear(heads * self.head, width, bias=False)

    def forward(self, hidden: Float[Tensor, "B N W"], tables: Tables) -> Float[Tensor, "B N W"]:
        """What attention adds."""
        query = _rotated(self._split(self.q_proj(hidden), self.heads), tables)
        key = _rotated(self._split(self.k_proj(hidden), self.key_heads), tables)
        value = self._split(self.v_proj(hidden), self.key_heads)
        mixed = F.scaled_dot_product_attention(
            query,
            key,
            value,
            dropout_p=self.dropout if self.training else 0.0,
            is_causal=True,
            enable_gqa=self.key_heads != self.heads,
        )
        output: Tensor = self.o_proj(mixed.transpose(1, 2).flatten(2))
        return output

    def _split(self, states: Tensor, heads: int) -> Tensor:
        batch, tokens, _ = states.shape
        return states.view(batch, tokens, heads, self.head).transpose(1, 2)


class DecoderNet(nn.Module):
    """Base of the nets: their random weights, and blocks that need not keep their activations."""

    checkpointing = False

    def activation_checkpointing_enable(self) -> None:
        """Makes training compute the activations inside blocks anew instead of keeping them."""
        for module in self.modules():
            if isinstance(module, DecoderNet):
                module.checkpointing = True

    def run_block(self, block: nn.Module, hidden: Float[Tensor, "B N W"], tables: Tables) -> Any:
        """What a block returns."""
        if self.checkpointing and self.training:
            output: Any = checkpoint(block, hidden, tables, use_reentrant=False)
            return output
        return block(hidden, tables)

    def draw_weights(self, deviation: float) -> None:
        """Normal weights of all linear maps, with biases of 0, as the libraries begin."""
        for module in self.modules():
            if isinstance(module, nn.Linear):
                nn.init.normal_(module.weight, std=deviation)
                if module.bias is not None:
                    nn.init.zeros_(module.bias)


class NormedBlock(nn.Module):
    """Attention and a gated MLP with a layer norm each; a family says where the norms stand."""

    def __init__(self, shape: DecoderShape, dropout: float) -> None:
        super().__init__()
        width, heads = shape.hidden_size, shape.num_attention_heads
        self.self_attn = CausalAttention(width, heads, heads, dropout)
        self.ffn_layer = GatedMlp(width, shape.intermediate_size, shape.hidden_act)
        self.norm1 = nn.LayerNorm(width)
        self.norm2 = nn.LayerNorm(width)


class PatchDecoder(DecoderNet):
    """Embedding, blocks and norm: a series to the states of its patches."""

    def __init__(
        self, shape: DecoderShape, embedding: nn.Module, block: Callable[[], NormedBlock]
    ) -> None:
        super().__init__()
        self.head = shape.hidden_size // shape.num_attention_heads
        self.embed_layer = embedding
        self.layers = nn.ModuleList(block() for _ in range(shape.num_hidden_layers))
        self.norm = nn.LayerNorm(shape.hidden_size)

    def forward(self, series: Float[Tensor, "B length"]) -> Float[Tensor, "B N W"]:
        """The normed states."""
        hidden = self.embed_layer(series)
        tables = rotary_tables(hidden.shape[1], self.head, ROTARY_BASE, hidden)
        for block in self.layers:
            hidden = self.run_block(block, hidden, tables)
        output: Tensor = self.norm(hidden)
        return output


def fitting_head(lengths: Sequence[int], wanted: int) -> int:
    """The number of the head that is chosen: the longest up to `wanted`, else the first."""
    chosen = 0
    for number, length in enumerate(lengths[1:], start=1):
        if length > wanted:
            break
        chosen = number
    return chosen


def values_after(
    series: Float[Tensor, "B length"],
    observed: Bool[Tensor, "B length"],
    ends: Sequence[int],
    count: int,
) -> tuple[Float[Tensor, "B ends count"], Bool[Tensor, "B ends count"]]:
    """The `count` values that follow each end, and which of them were observed.

    Values beyond the series are 0 and not observed.
    """
    places = list(ends)
    values = F.pad(torch.where(observed, series, 0.0), (0, count)).unfold(1, count, 1)
    known = F.pad(observed, (0, count)).unfold(1, count, 1)
    return values[:, places], known[:, places]


def standardised(
    series: Float[Tensor, "B length"],
) -> tuple[Float[Tensor, "B length"], Float[Tensor, "B 1"], Float[Tensor, "B 1"]]:
    """The values by their mean and sample standard deviation (1 where it is 0); mean; scale."""
    mean = series.mean(1, keepdim=True)
    if series.shape[1] == 1:
        return series - mean, mean, torch.ones_like(mean)
    scale = series.std(1, keepdim=True)
    scale = torch.where(scale > 0, scale, 1.0)
    return (series - mean) / scale, mean, scale

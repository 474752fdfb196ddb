"""Where T5 keeps its blocks: an encoder's and a decoder's, each with its position bias in block 0.

The relative position bias of a stack is a parameter of its first block alone, which hands it to the
others (Raffel et al. 2020); a pruned stack's new first block has to carry it.
"""

from collections.abc import Mapping
from typing import Any

from transformers import T5Config

from tasks.models.stacks import Stack

BIAS = ("relative_attention_bias",)
ENCODER = Stack(
    path="encoder.block",
    depth="num_layers",
    norm="encoder.final_layer_norm",
    carried=BIAS,
)
DECODER = Stack(
    path="decoder.block",
    depth="num_decoder_layers",
    norm="decoder.final_layer_norm",
    carried=BIAS,
)
T5_STACKS = (ENCODER, DECODER)


def complete_t5(data: Mapping[str, Any]) -> dict[str, Any]:
    """A T5 config with its defaults filled in."""
    whole: dict[str, Any] = T5Config.from_dict(dict(data)).to_dict()
    whole.pop("transformers_version", None)
    return whole


def count_t5_blocks(data: Mapping[str, Any]) -> int:
    """Encoder and decoder blocks of a complete T5 config."""
    return sum(int(data[stack.depth]) for stack in T5_STACKS)

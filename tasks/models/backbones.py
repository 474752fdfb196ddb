"""transformers' GPT-2, Llama and Qwen3 decoders, built from a scale or from config data."""

from typing import Any, Literal

import torch.nn.functional as F
from torch import Tensor, nn
from transformers import (
    GPT2Config,
    GPT2Model,
    LlamaConfig,
    LlamaModel,
    PretrainedConfig,
    PreTrainedModel,
    Qwen3Config,
    Qwen3Model,
)
from transformers.models.llama.modeling_llama import LlamaRMSNorm
from transformers.models.qwen3.modeling_qwen3 import Qwen3RMSNorm

from tasks.errors import ParamsError
from tasks.models.stacks import Part, Stack
from tasks.sections.models import Scale

BackboneName = Literal["gpt2", "qwen3", "llama"]

LLAMA_PARTS = (
    Part(kind="attention", norm="input_layernorm", name="self_attn", output="self_attn.o_proj"),
    Part(kind="mlp", norm="post_attention_layernorm", name="mlp", output="mlp.down_proj"),
)

STACKS: dict[BackboneName, Stack] = {
    "gpt2": Stack(
        path="h",
        depth="n_layer",
        norm="ln_f",
        parts=(
            Part(kind="attention", norm="ln_1", name="attn", output="attn.c_proj"),
            Part(kind="mlp", norm="ln_2", name="mlp", output="mlp.c_proj"),
        ),
    ),
    "qwen3": Stack(
        path="layers",
        depth="num_hidden_layers",
        norm="norm",
        per_layer=("layer_types",),
        parts=LLAMA_PARTS,
    ),
    "llama": Stack(path="layers", depth="num_hidden_layers", norm="norm", parts=LLAMA_PARTS),
}
CONFIGS: dict[BackboneName, type[PretrainedConfig]] = {
    "gpt2": GPT2Config,
    "qwen3": Qwen3Config,
    "llama": LlamaConfig,
}
MODELS: dict[BackboneName, type[PreTrainedModel]] = {
    "gpt2": GPT2Model,
    "qwen3": Qwen3Model,
    "llama": LlamaModel,
}


def initializer_range(width: int) -> float:
    """Standard deviation of random weights: GPT-2's 0.02 at width 768, wider for narrow models.

    It scales with 1/sqrt(width), so that activations start alike at every width.
    """
    return float(0.02 * (768 / width) ** 0.5)


def backbone_config(backbone: BackboneName, scale: Scale, num_tokens: int) -> dict[str, Any]:
    """Config data of a randomly initialised backbone; its token embedding has one row.

    Raises:
        ParamsError: the scale does not fit the backbone.
    """
    if backbone == "llama" and scale.width % scale.heads:
        raise ParamsError(
            f"scales: width {scale.width} must be a multiple of heads {scale.heads} with backbone "
            "llama, head_dim or not; change one of them"
        )
    spread = initializer_range(scale.width)
    if backbone == "gpt2":
        config: PretrainedConfig = GPT2Config(
            vocab_size=1,
            n_positions=num_tokens,
            n_embd=scale.width,
            n_layer=scale.blocks,
            n_head=scale.heads,
            n_inner=scale.mlp_width,
            activation_function="gelu",
            resid_pdrop=0.0,
            embd_pdrop=0.0,
            attn_pdrop=0.0,
            initializer_range=spread,
            bos_token_id=0,
            eos_token_id=0,
        )
    else:
        config = CONFIGS[backbone](
            vocab_size=1,
            hidden_size=scale.width,
            intermediate_size=scale.mlp_width or 8 * round(scale.width / 3),
            num_hidden_layers=scale.blocks,
            num_attention_heads=scale.heads,
            num_key_value_heads=scale.kv_heads or scale.heads,
            head_dim=scale.head_dim or scale.width // scale.heads,
            max_position_embeddings=max(num_tokens, 16),
            initializer_range=spread,
            bos_token_id=0,
            eos_token_id=0,
        )
    return config_data(config)


def config_data(config: PretrainedConfig) -> dict[str, Any]:
    """A transformers config as plain data, without fields that change between releases."""
    data = config.to_dict()
    for field in ("transformers_version", "_name_or_path", "architectures"):
        data.pop(field, None)
    return data


class FusedRMSNorm(Qwen3RMSNorm):
    """RMSNorm of Llama and Qwen3 as one operation of torch instead of six; equal to rounding."""

    def forward(self, hidden_states: Tensor) -> Tensor:
        """The normalised states."""
        shape = (hidden_states.shape[-1],)
        weight = self.weight.to(hidden_states.dtype)
        return F.rms_norm(hidden_states, shape, weight, self.variance_epsilon)


def build_backbone(backbone: BackboneName, data: dict[str, Any]) -> PreTrainedModel:
    """The decoder with random weights, attention through scaled_dot_product_attention."""
    config = CONFIGS[backbone].from_dict(dict(data))
    config.use_cache = False
    config._attn_implementation = "sdpa"
    model = MODELS[backbone](config)
    for module in model.modules():
        if type(module) in (LlamaRMSNorm, Qwen3RMSNorm):
            module.__class__ = FusedRMSNorm
    return model


def backbone_width(model: nn.Module) -> int:
    """Width of the residual stream."""
    return int(model.config.hidden_size)  # type: ignore[union-attr,arg-type]

"""Published sizes of every family: what config.json of a checkpoint says of its shape.

Fields that change no size are left out where they are the library's defaults. Context and horizon
are usual ones of the benchmarks, within what the model takes.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

TENTHS = [tenths / 10 for tenths in range(1, 10)]


@dataclass(frozen=True, kw_only=True)
class Published:
    """One published model.

    Attributes:
        name: of the checkpoint on the hub, or of the paper's model.
        family: its name in params.yaml.
        config: the library's config, its defaults left out.
        dtype: of the stored weights.
        context: values of a window, ...
        horizon: ... and how many it forecasts.
        options: of the model entry; of a native family `head`, `patch` and `stride`.
        millions: of parameters, as the model card or the paper counts them; None: not known.
        note: what has to be known to read its numbers.
    """

    name: str
    family: str
    config: Mapping[str, Any]
    dtype: Literal["float32", "bfloat16", "float16"] = "float32"
    context: int = 512
    horizon: int = 96
    options: Mapping[str, Any] = field(default_factory=dict)
    millions: float | None = None
    note: str = ""


def _t5(width: int, mlp: int, layers: int, heads: int) -> dict[str, Any]:
    """An encoder and a decoder of one depth; T5 efficient's heads are 64 wide at every size."""
    return {
        "d_model": width, "d_ff": mlp, "d_kv": 64, "num_heads": heads,
        "num_layers": layers, "num_decoder_layers": layers,
        "pad_token_id": 0, "eos_token_id": 1, "decoder_start_token_id": 0,
    }  # fmt: skip


DECODER_NOTE = "decoder blocks run for the one token that forecasts, encoder blocks for every patch"


def _chronos_bolt(
    name: str, width: int, mlp: int, layers: int, heads: int, millions: float
) -> Published:
    chronos = {
        "context_length": 2048, "prediction_length": 64, "input_patch_size": 16,
        "input_patch_stride": 16, "quantiles": TENTHS, "use_reg_token": True,
    }  # fmt: skip
    shape = {"vocab_size": 2, "reg_token_id": 1, "chronos_config": chronos}
    return Published(
        name=name,
        family="chronos_bolt",
        config=_t5(width, mlp, layers, heads) | shape,
        horizon=64,
        millions=millions,
        note=DECODER_NOTE,
    )


def _chronos_t5(
    name: str, width: int, mlp: int, layers: int, heads: int, millions: float
) -> Published:
    chronos = {
        "tokenizer_class": "MeanScaleUniformBins",
        "tokenizer_kwargs": {"low_limit": -15.0, "high_limit": 15.0},
        "context_length": 512, "prediction_length": 64, "n_tokens": 4096, "n_special_tokens": 2,
        "pad_token_id": 0, "eos_token_id": 1, "use_eos_token": True, "model_type": "seq2seq",
        "num_samples": 20, "temperature": 1.0, "top_k": 50, "top_p": 1.0,
    }  # fmt: skip
    return Published(
        name=name,
        family="chronos_t5",
        config=_t5(width, mlp, layers, heads) | {"vocab_size": 4096, "chronos_config": chronos},
        horizon=64,
        millions=millions,
        note="a token is one value; decoder blocks run for every forecast value and sample",
    )


def _moirai(name: str, width: int, layers: int, millions: float) -> Published:
    return Published(
        name=name,
        family="moirai",
        config={
            "d_model": width,
            "num_layers": layers,
            "patch_sizes": [8, 16, 32, 64, 128],
            "max_seq_len": 512,
        },
        millions=millions,
        note="elsewhere: maps of five patch sizes, one of which runs",
    )


def _moment(name: str, width: int, mlp: int, layers: int, heads: int) -> Published:
    t5 = {
        "model_type": "t5", "d_model": width, "d_ff": mlp, "d_kv": 64, "num_layers": layers,
        "num_heads": heads, "feed_forward_proj": "gated-gelu", "vocab_size": 32128,
    }  # fmt: skip
    return Published(
        name=name,
        family="moment",
        config={"d_model": width, "seq_len": 512, "patch_len": 8, "t5_config": t5},
        note="elsewhere: T5's word embedding, which no forecast uses, and a new forecasting head",
    )


def _time_moe(name: str, width: int, mlp: int, millions: float) -> Published:
    return Published(
        name=name,
        family="time_moe",
        config={
            "hidden_size": width,
            "intermediate_size": mlp,
            "num_hidden_layers": 12,
            "num_attention_heads": 12,
            "num_key_value_heads": 12,
            "num_experts": 8,
            "num_experts_per_tok": 2,
            "horizon_lengths": [1, 8, 32, 64],
            "max_position_embeddings": 4096,
        },
        dtype="bfloat16",
        millions=millions,
        note="a token is one value; FLOPs count all 8 experts, 2 of which run",
    )


GPT2: Mapping[str, Any] = {
    "model_type": "gpt2", "vocab_size": 50257, "n_positions": 1024, "n_embd": 768, "n_layer": 12,
    "n_head": 12,
}  # fmt: skip
QWEN3_1_7B: Mapping[str, Any] = {
    "model_type": "qwen3", "vocab_size": 151936, "hidden_size": 2048, "intermediate_size": 6144,
    "num_hidden_layers": 28, "num_attention_heads": 16, "num_key_value_heads": 8, "head_dim": 128,
    "max_position_embeddings": 40960,
}  # fmt: skip
LLAMA_7B: Mapping[str, Any] = {
    "model_type": "llama", "vocab_size": 32000, "hidden_size": 4096, "intermediate_size": 11008,
    "num_hidden_layers": 32, "num_attention_heads": 32, "num_key_value_heads": 32,
    "max_position_embeddings": 2048,
}  # fmt: skip
FLATTEN: Mapping[str, Any] = {"head": "flatten", "patch": 16, "stride": 8}
WORDS = "elsewhere: the word embedding, which no forecast uses"

PUBLISHED: tuple[Published, ...] = (
    _chronos_bolt("amazon/chronos-bolt-tiny", 256, 1024, 4, 4, 9),
    _chronos_bolt("amazon/chronos-bolt-mini", 384, 1536, 4, 8, 21),
    _chronos_bolt("amazon/chronos-bolt-small", 512, 2048, 6, 8, 48),
    _chronos_bolt("amazon/chronos-bolt-base", 768, 3072, 12, 12, 205),
    _chronos_t5("amazon/chronos-t5-base", 768, 3072, 12, 12, 201),
    _chronos_t5("amazon/chronos-t5-large", 1024, 4096, 24, 16, 709),
    Published(
        name="amazon/chronos-2",
        family="chronos2",
        config={
            "d_model": 768,
            "d_kv": 64,
            "d_ff": 3072,
            "num_layers": 12,
            "num_heads": 12,
            "reg_token_id": 1,
            "chronos_config": {
                "context_length": 8192,
                "input_patch_size": 16,
                "input_patch_stride": 16,
                "output_patch_size": 16,
                "max_output_patches": 64,
                "quantiles": [0.01, *(twentieths / 20 for twentieths in range(1, 20)), 0.99],
                "use_reg_token": True,
                "use_arcsinh": True,
            },
        },
        millions=120,
    ),
    Published(
        name="google/timesfm-2.0-500m-pytorch",
        family="timesfm2",
        config={"context_length": 2048},  # the only field that is not transformers' default
        millions=500,
    ),
    Published(
        name="google/timesfm-2.5-200m-transformers",
        family="timesfm2_5",
        config={},  # transformers' defaults are this checkpoint's
        millions=231,
        note="every block runs twice where `force_flip_invariance` is set, as it is here",
    ),
    Published(
        name="PatchTST/64 (paper)",
        family="patchtst",
        config={
            "patch_length": 16,
            "patch_stride": 8,
            "num_hidden_layers": 3,
            "d_model": 128,
            "num_attention_heads": 16,
            "ffn_dim": 256,
            "pooling_type": None,  # the paper's head flattens all patches
        },
        note="elsewhere: mostly the head on all patches, which grows with context and horizon",
    ),
    Published(
        name="thuml/sundial-base-128m",
        family="sundial",
        config={
            "input_token_len": 16,
            "output_token_lens": [720],
            "hidden_size": 768,
            "intermediate_size": 3072,
            "num_hidden_layers": 12,
            "num_attention_heads": 12,
            "flow_loss_depth": 3,
            "num_sampling_steps": 50,
        },
        millions=128,
        note="elsewhere: mostly the flow matching head, which runs 50 times per sample",
    ),
    Published(
        name="thuml/timer-base-84m",
        family="timer",
        # patches of 96 as the model card says; the code's own default is patches of 1
        config={
            "input_token_len": 96,
            "output_token_lens": [96],
            "hidden_size": 1024,
            "intermediate_size": 2048,
            "num_hidden_layers": 8,
            "num_attention_heads": 8,
        },
        context=672,
        millions=84,
    ),
    _time_moe("Maple728/TimeMoE-50M", 384, 1536, 113),
    # width and MLP as the paper's table has them; the config was not seen
    _time_moe("Maple728/TimeMoE-200M", 768, 3072, 453),
    _moirai("Salesforce/moirai-1.1-R-small", 384, 6, 14),
    _moirai("Salesforce/moirai-1.1-R-base", 768, 12, 91),
    _moirai("Salesforce/moirai-1.1-R-large", 1024, 24, 311),
    Published(
        name="Salesforce/moirai-2.0-R-small",
        family="moirai2",
        config={
            "d_model": 384,
            "d_ff": 1024,
            "num_layers": 6,
            "patch_size": 16,
            "num_predict_token": 4,
            "quantile_levels": TENTHS,
            "max_seq_len": 512,
        },
        millions=11.4,
    ),
    # Flan-T5's encoders; MOMENT's own counts differ with the head that is on them
    _moment("AutonLab/MOMENT-1-small", 512, 1024, 8, 6),
    _moment("AutonLab/MOMENT-1-base", 768, 2048, 12, 12),
    _moment("AutonLab/MOMENT-1-large", 1024, 2816, 24, 16),
    Published(
        name="GPT4TS on openai-community/gpt2",
        family="llm4ts",
        config=GPT2,
        options=FLATTEN,
        note=f"{WORDS}; all 12 blocks, of which the authors keep the first 6",
    ),
    Published(
        name="GPT4TS on Qwen/Qwen3-1.7B",
        family="llm4ts",
        config=QWEN3_1_7B,
        dtype="bfloat16",
        options=FLATTEN,
        note=WORDS,
    ),
    Published(
        name="GPT4TS on Llama-7B",
        family="llm4ts",
        config=LLAMA_7B,
        dtype="float16",
        options=FLATTEN,
        note=WORDS,
    ),
    Published(
        name="Time-LLM on Llama-7B",
        family="timellm",
        config=LLAMA_7B,
        dtype="float16",
        note="elsewhere: the word embedding, of which the reprogramming makes its prototypes",
    ),
)

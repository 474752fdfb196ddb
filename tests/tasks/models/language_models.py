"""Tiny causal language models as transformers saves them, and a reader killed on its way."""

import os
import signal
from collections.abc import Callable
from copy import deepcopy
from pathlib import Path

import torch
from transformers import (
    AutoModelForCausalLM,
    GPT2Config,
    LlamaConfig,
    PretrainedConfig,
    PreTrainedModel,
    Qwen3Config,
)

DECODER = {
    "vocab_size": 19, "hidden_size": 16, "intermediate_size": 24, "num_hidden_layers": 5,
    "num_attention_heads": 2, "max_position_embeddings": 32, "initializer_range": 0.3,
    "pad_token_id": None, "bos_token_id": 1, "eos_token_id": 2,
}  # fmt: skip
CONFIGS: dict[str, PretrainedConfig] = {
    "gpt2": GPT2Config(  # tied, below `transformer.`
        vocab_size=19, n_embd=16, n_layer=5, n_head=2, n_positions=32, initializer_range=0.3,
        bos_token_id=1, eos_token_id=2,
    ),
    "llama": LlamaConfig(**DECODER, num_key_value_heads=1),  # below `model.`, `lm_head` beside it
    "qwen3": Qwen3Config(
        **DECODER, num_key_value_heads=1, head_dim=8, use_sliding_window=True, sliding_window=3,
        max_window_layers=2, tie_word_embeddings=True,
    ),
}  # fmt: skip
KEEPS = [(0, 1, 2, 3, 4), (1, 2, 4), (0, 3), (4,), ()]


def save(name: str, folder: Path, *, shard: str = "5GB", dtype=torch.float32) -> PreTrainedModel:
    """A causal language model with random weights, saved by transformers."""
    torch.manual_seed(0)
    model = AutoModelForCausalLM.from_config(deepcopy(CONFIGS[name])).to(dtype).eval()
    model.save_pretrained(folder, max_shard_size=shard)
    return model


def until_killed(work: Callable[[], object], tensors: int) -> int:
    """A child that kills itself while it copies a tensor after so many; its exit status."""
    child = os.fork()
    if child == 0:
        copy, calls = os.copy_file_range, []

        def copy_or_die(*arguments: int) -> int:
            calls.append(arguments)
            if len(calls) > tensors:
                os.kill(os.getpid(), signal.SIGKILL)
            return copy(*arguments)

        os.copy_file_range = copy_or_die
        try:
            work()
        finally:
            os._exit(1)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])

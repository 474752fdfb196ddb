"""Models whose weights are about to be loaded draw no random ones, and are the same afterwards."""

import torch
from torch import nn
from transformers import T5Config, T5EncoderModel

from tasks.models.registry import load_model
from tasks.models.unfilled import Unfilled
from tests.tiny import tiny_model


def test_nothing_is_drawn() -> None:
    before = torch.get_rng_state()
    with Unfilled():
        nn.Linear(4, 4)
        nn.Embedding(4, 4)
        nn.init.trunc_normal_(torch.empty(4))
        nn.init.normal_(tensor=torch.empty(4), std=2.0)
        kept = torch.full((3,), 7.0)
        assert torch.equal(kept.uniform_(), torch.full((3,), 7.0))
    assert torch.equal(torch.get_rng_state(), before)
    nn.Linear(4, 4)
    assert not torch.equal(torch.get_rng_state(), before), "outside it draws as ever"


def test_norms_and_buffers_are_made_and_weights_tied() -> None:
    with Unfilled():
        model = T5EncoderModel(T5Config(vocab_size=8, d_model=8, num_layers=1, num_heads=2))
        assert torch.equal(nn.LayerNorm(3).weight, torch.ones(3))
    assert model.shared.weight is model.encoder.embed_tokens.weight


def test_loading_and_pruning_leave_the_global_generator_alone(tmp_path) -> None:
    model = tiny_model("qwen3")
    model.save(tmp_path / "model")
    before = torch.get_rng_state()
    loaded, pruned = load_model(tmp_path / "model"), model.with_blocks([0, 2])
    assert torch.equal(torch.get_rng_state(), before)
    for name, tensor in model.state_dict().items():
        assert torch.equal(loaded.state_dict()[name], tensor), name
    assert pruned.num_blocks == 2

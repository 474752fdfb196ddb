"""Models whose weights are about to be loaded draw no random ones, and are the same afterwards."""

import pytest
import torch
from torch import nn
from transformers import T5Config, T5EncoderModel

from tasks.models.registry import load_model
from tasks.models.unfilled import Unfilled, move_unfilled
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


def test_a_model_is_moved_without_its_weights_and_with_its_buffers() -> None:
    with torch.device("meta"):
        norm = nn.BatchNorm1d(3).double()
    norm.weight.requires_grad_(False)
    norm.running_mean, norm.running_var = torch.zeros(3), torch.full((3,), 7.0)
    norm.num_batches_tracked = torch.tensor(5)
    move_unfilled(norm, torch.device("cpu"))
    assert {tensor.device.type for tensor in norm.state_dict().values()} == {"cpu"}
    assert torch.equal(norm.running_var, torch.full((3,), 7.0))
    assert norm.num_batches_tracked == 5
    assert not norm.weight.requires_grad
    assert norm.weight.dtype == torch.float64
    weight = norm.weight
    move_unfilled(norm, torch.device("cpu"))
    assert norm.weight is weight, "where it lies already nothing is made anew"


def test_weights_go_from_their_file_to_the_device(tmp_path) -> None:
    tiny_model("qwen3").save(tmp_path)
    with pytest.warns(UserWarning, match="to a meta parameter"):  # whose memory is nowhere
        model = load_model(tmp_path, torch.device("meta"))
    assert {parameter.device.type for parameter in model.parameters()} == {"meta"}
    assert not model.training

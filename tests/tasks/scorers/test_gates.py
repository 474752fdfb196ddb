"""Learned gates: exact at both ends, and closed where a block does nothing."""

import numpy as np
import pytest
import torch

from tasks.scorers.gate import gate
from tasks.scorers.gates import Gates, gated, learn_gates
from tasks.sections.scoring import Gate
from tests.tiny import CONTEXT, HORIZON, tiny_model, tiny_windows


def forecast(model):
    with torch.no_grad():
        return model.forecast(tiny_windows(6)[:, :CONTEXT], HORIZON).mean


@pytest.mark.parametrize(("backbone", "stack"), [("gpt2", "h"), ("qwen3", "layers")])
def test_open_gates_change_nothing_and_closed_ones_skip(backbone, stack):
    model = tiny_model(backbone)
    blocks = model.blocks()[stack]
    with gated(blocks, torch.ones(5)):
        torch.testing.assert_close(forecast(model), forecast(tiny_model(backbone)))
    with gated(blocks, torch.tensor([1.0, 0.0, 1.0, 0.0, 1.0])):
        torch.testing.assert_close(forecast(model), forecast(model.with_blocks([0, 2, 4])))
    assert torch.equal(forecast(model), forecast(tiny_model(backbone)))


def idle_model():
    """Block 2 adds nothing to the residual stream."""
    model = tiny_model()
    block = model.blocks()["h"][2]
    with torch.no_grad():
        for layer in (block.attn.c_proj, block.mlp.c_proj):
            layer.weight.zero_()
            layer.bias.zero_()
    return model


def test_the_gate_of_a_block_that_does_nothing_falls_at_the_learning_rate():
    options = Gate(steps=12, learning_rate=0.1, penalty=0.05)
    found = learn_gates(idle_model(), tiny_windows(16), 8, options, seed=1)
    expected = np.maximum(0, 1 - 0.1 * np.arange(1, 13))
    np.testing.assert_allclose(found.path[:, 2], expected, atol=1e-4)
    assert found.path.min() >= 0
    assert found.path.max() <= 1


def test_without_a_penalty_an_idle_block_is_left_open():
    options = Gate(steps=3, penalty=0.0)
    found = learn_gates(idle_model(), tiny_windows(16), 8, options, seed=1)
    np.testing.assert_array_equal(found.path[:, 2], np.ones(3))


def test_gates_depend_on_the_seed_alone_and_the_network_stays_as_it_was():
    model, windows = tiny_model(family="llm4ts"), tiny_windows(16)
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    paths = [learn_gates(model, windows, 4, Gate(steps=4), seed=seed).path for seed in (1, 1, 2)]
    np.testing.assert_array_equal(paths[0], paths[1])
    assert not np.array_equal(paths[0], paths[2])
    assert all(torch.equal(before[name], tensor) for name, tensor in model.state_dict().items())
    assert all(parameter.grad is None for parameter in model.parameters())


def test_the_score_is_the_mean_gate():
    score = gate(Gates(np.array([[1.0, 0.5], [0.5, 0.0]])), Gate(steps=2))
    assert score.values == [0.75, 0.25]
    assert score.parameters["penalty"] == 0.02

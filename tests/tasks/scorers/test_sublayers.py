"""Attention and MLP apart: silenced parts equal parts with zero weights."""

import copy

import pytest
import torch

from tasks.scorers.sublayers import silenced, sublayer_losses
from tasks.training.loop import validation_mse
from tests.tiny import tiny_model, tiny_windows

OUTPUTS = {
    "gpt2": {"attention": "attn.c_proj", "mlp": "mlp.c_proj"},
    "qwen3": {"attention": "self_attn.o_proj", "mlp": "mlp.down_proj"},
}


@pytest.mark.parametrize("backbone", ["gpt2", "qwen3"])
def test_the_loss_is_that_of_the_part_with_zero_output_weights(backbone):
    model, windows = tiny_model(backbone, blocks=3), tiny_windows(8)
    losses, full = sublayer_losses(model, windows), validation_mse(model, windows)
    assert set(losses) == {"attention", "mlp"}
    for kind, values in losses.items():
        for block in range(3):
            other = copy.deepcopy(model)
            path = f"{other.stack.path}.{block}.{OUTPUTS[backbone][kind]}"
            with torch.no_grad():
                for parameter in other.backbone.get_submodule(path).parameters():
                    parameter.zero_()
            expected = validation_mse(other, windows) - full
            assert values[block] == pytest.approx(expected, abs=1e-6)


def test_a_block_without_both_parts_is_skipped():
    model, windows = tiny_model(blocks=3), tiny_windows(8)
    attention, mlp = (parts[1] for parts in model.sublayers().values())
    with silenced(attention), silenced(mlp):
        without = validation_mse(model, windows)
    with model.only([0, 2]):
        assert without == pytest.approx(validation_mse(model, windows), abs=1e-6)

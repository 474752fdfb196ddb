"""Seam repair: a closed form that lowers the error of a cut and changes no architecture."""

import pytest
import torch

from tasks.models.registry import load_model
from tasks.training.loop import validation_mse
from tasks.training.recipe import Student
from tasks.training.seam import Cut, cuts_of, repair_seams
from tests.tiny import tiny_data, tiny_loop, tiny_model


@pytest.fixture(scope="module", params=["gpt2", "qwen3"])
def trained(request, tmp_path_factory):
    """A tiny model after some training, so that its blocks have a meaning."""
    model = tiny_model(request.param)
    student = Student(name="full", model=model, steps=60, learning_rate=5e-3)
    tiny_loop(tmp_path_factory.mktemp("full"), [student]).run()
    return model


def sample(count: int = 128) -> torch.Tensor:
    windows = tiny_data().windows
    return windows.batch(windows.spaced(count))


@pytest.mark.parametrize(
    ("places", "cuts"),
    [
        ((0, 1, 2, 3, 4), []),
        ((0, 1), [Cut(1, 4)]),
        ((2, 4), [Cut(-1, 1), Cut(0, 3)]),
        ((), [Cut(-1, 4)]),
    ],
)
def test_cuts_are_where_blocks_are_missing(places, cuts):
    assert cuts_of(places, 5) == cuts


@pytest.mark.parametrize("keep", [(0, 1), (0, 3), (2, 4), (3,), ()])
def test_the_repair_lowers_the_unhealed_error_and_loads_strictly(trained, keep, tmp_path):
    valid = tiny_data().valid
    pruned = trained.with_blocks(keep)
    names = {name: tensor.shape for name, tensor in pruned.state_dict().items()}
    before = validation_mse(pruned, valid)
    repair_seams(pruned, trained, sample(), ridge=1e-2)
    assert validation_mse(pruned, valid) < before
    assert {name: tensor.shape for name, tensor in pruned.state_dict().items()} == names
    pruned.save(tmp_path)
    again = load_model(tmp_path)
    assert again.kept == keep
    assert again.num_blocks == len(keep)
    assert all(torch.equal(t, pruned.state_dict()[n]) for n, t in again.state_dict().items())


def test_only_the_maps_before_the_cuts_move(trained):
    pruned = trained.with_blocks((0, 2, 3))
    before = {name: tensor.clone() for name, tensor in pruned.state_dict().items()}
    repair_seams(pruned, trained, sample(), ridge=1e-2)
    moved = {n for n, t in pruned.state_dict().items() if not torch.equal(t, before[n])}
    maps = {"gpt2": "backbone.h.{}.mlp.c_proj", "qwen3": "backbone.layers.{}.mlp.down_proj"}
    of = maps[pruned.config.backbone]
    assert {name.rpartition(".")[0] for name in moved} == {of.format(0), of.format(2)}


def test_nothing_moves_where_nothing_is_cut_or_the_ridge_forbids_it(trained):
    whole, held = trained.with_blocks(range(5)), trained.with_blocks((0, 4))
    before = {name: tensor.clone() for name, tensor in held.state_dict().items()}
    repair_seams(whole, trained, sample(), ridge=1e-2)
    repair_seams(held, trained, sample(), ridge=1e12)
    assert all(torch.equal(t, trained.state_dict()[n]) for n, t in whole.state_dict().items())
    for name, tensor in held.state_dict().items():
        if not name.endswith("bias"):
            torch.testing.assert_close(tensor, before[name])


def test_without_a_ridge_the_residual_is_orthogonal_to_the_inputs(trained):
    """The normal equations hold: no other map of the same inputs comes nearer."""
    pruned, windows = trained.with_blocks((0, 1)), sample()
    repair_seams(pruned, trained, windows, ridge=1e-9)
    moved = {n: t.clone() for n, t in pruned.state_dict().items()}
    repair_seams(pruned, trained, windows, ridge=1e-9)
    for name, tensor in pruned.state_dict().items():
        torch.testing.assert_close(tensor, moved[name], atol=1e-3, rtol=1e-3)

"""Every way of healing a model from which sublayers were dropped."""

import pytest
import torch

from tasks.models.native import NativeModel
from tasks.models.registry import load_model
from tasks.models.sublayers import SublayerModel, split_blocks
from tasks.training.healing import Healed, Healer, HealingJob
from tasks.training.loop import validation_mse
from tasks.training.recipe import Student
from tasks.training.seam import repair_seams
from tests.tasks.training.healers import HEALING, NAMES, option
from tests.tiny import tiny_data, tiny_loop, tiny_model, tiny_recipe

KEEP = (0, 3, 7)  # attention of block 0, MLPs of blocks 1 and 3
JOBS = [
    *(HealingJob(name, KEEP, option(name)) for name in NAMES),
    HealingJob("seam", KEEP, option("iterative+hidden_cut", seam_repair=True)),
]


@pytest.fixture(scope="module", params=["gpt2", "qwen3"])
def full(request, tmp_path_factory) -> NativeModel:
    """A tiny model after some training, so that its sublayers have a meaning."""
    model = split_blocks(tiny_model(request.param, blocks=4))
    student = Student(name="full", model=model, steps=40, learning_rate=5e-3)
    tiny_loop(tmp_path_factory.mktemp("full"), [student]).run()
    return model


@pytest.fixture(scope="module")
def healed(full: NativeModel, tmp_path_factory) -> Healed:
    healer = Healer(
        full=full,
        teacher=full,
        data=tiny_data(),
        recipe=tiny_recipe(),
        healing=HEALING,
        rate=3e-3,
        scratch_rate=3e-3,
        scores=None,
    )
    return healer.heal(JOBS, steps=12, state_folder=tmp_path_factory.mktemp("heal"), what="tiny")


def test_every_option_ends_with_the_wanted_mask_and_a_lower_error(full, healed, tmp_path):
    unhealed = validation_mse(full.with_blocks(KEEP), tiny_data().valid)
    for student in healed.students:
        assert isinstance(student.model, SublayerModel)
        assert student.model.kept == KEEP
        assert student.best_valid < unhealed, student.name
        student.model.save(tmp_path / student.name)
        again = load_model(tmp_path / student.name)
        assert validation_mse(again, tiny_data().valid) == student.best_valid


@pytest.mark.parametrize(
    ("name", "starts"),
    [("kept_only", ("0.", "1.", "2.")), ("head_last", ("2.",))],
)
def test_an_option_trains_its_sublayers_and_no_others(full, healed, name, starts):
    before, prefix = full.with_blocks(KEEP).state_dict(), f"backbone.{full.stack.path}."
    student = next(one for one in healed.students if one.name == name)
    moved = {n for n, t in student.model.state_dict().items() if not torch.equal(t, before[n])}
    numbers = {key.removeprefix(prefix)[:2] for key in moved if key.startswith(prefix)}
    assert numbers == set(starts)


@pytest.mark.parametrize("keep", [KEEP, (1, 2), (2, 5, 6), (6,), ()])
def test_seams_before_attention_and_mlp_are_repaired(full, keep):
    valid, windows = tiny_data().valid, tiny_data().windows
    pruned = full.with_blocks(keep)
    before = validation_mse(pruned, valid)
    repair_seams(pruned, full, windows.batch(windows.spaced(128)), ridge=1e-2)
    assert validation_mse(pruned, valid) < before


def test_states_are_matched_after_the_same_sublayer_or_after_the_cut(full, healed):
    matched = {one.name: one.matched for one in healed.students}
    assert matched["hidden"] == KEEP
    assert matched["hidden_cut"] == (2, 6, 7)

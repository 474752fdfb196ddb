"""What a run's state is beside its weights: noise, running means, replay, and when it is saved."""

import json
from contextlib import contextmanager

import pytest
import torch

from tasks.models.families import zoo_class
from tasks.sections.data import Windows
from tasks.training import loop as loop_module
from tasks.training.loop import validation_mse
from tasks.training.recipe import Student
from tests.tasks.training.students import run_killed_at, same, student, trained, without_seconds
from tests.tiny import CONTEXT, HORIZON, tiny_data, tiny_loop


def noisy(name="full", keep=None) -> Student:
    """Every pass draws which values are dropped."""
    one = student(name, keep=keep)
    for module in one.model.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.3
    return one


def test_dropout_depends_on_seed_and_step_alone(tmp_path):
    whole, other, again, first, second = (noisy() for _ in range(5))
    tiny_loop(tmp_path / "a", [whole]).run()
    before = torch.get_rng_state()
    tiny_loop(tmp_path / "b", [other, noisy("beside", keep=(1,))]).run()
    assert torch.equal(before, torch.get_rng_state())
    tiny_loop(tmp_path / "c", [again], seed=8).run()
    torch.manual_seed(5)  # what a new process would have
    run_killed_at(tiny_loop(tmp_path / "d", [first]), 8)
    torch.manual_seed(6)
    tiny_loop(tmp_path / "d", [second]).run()
    assert same(whole, other)
    assert same(whole, second)
    assert not same(whole, again)
    assert not same(whole, trained(tmp_path / "e", student()))  # that it draws at all


def normalised_by_batch() -> Student:
    """A model whose running means change with every batch."""
    torch.manual_seed(0)
    shape = {
        "num_hidden_layers": 2, "d_model": 16, "num_attention_heads": 2, "ffn_dim": 16,
        "patch_length": 16, "patch_stride": 16, "pooling_type": None,
    }  # fmt: skip
    model = zoo_class("patchtst").create(
        shape, Windows(context=CONTEXT, horizon=HORIZON), family="patchtst",
        origin="random initialisation", options={},
    )  # fmt: skip
    assert any("running_mean" in name for name in model.state_dict())
    return Student(name="full", model=model, steps=12, learning_rate=3e-3)


@pytest.mark.parametrize("killed_at", [5, 9, None])
def test_running_means_belong_to_the_weights(tmp_path, killed_at):
    whole, first, second = (normalised_by_batch() for _ in range(3))
    trained(tmp_path / "a", whole)
    assert validation_mse(whole.model, tiny_data().valid) == whole.best_valid
    if killed_at is None:  # stopped after the loop, before its results were written
        trained(tmp_path / "b", first)
    else:
        run_killed_at(tiny_loop(tmp_path / "b", [first]), killed_at)
    trained(tmp_path / "b", second)
    assert same(whole, second)


def test_the_running_means_of_the_best_weights_are_kept(tmp_path):
    one = normalised_by_batch()
    one.learning_rate = 0.5  # so that it gets worse
    trained(tmp_path, one)
    assert one.best_step < one.steps_run
    assert validation_mse(one.model, tiny_data().valid) == one.best_valid


def test_a_stop_asked_for_after_a_step_waits_for_the_next_one(tmp_path, monkeypatch):
    """Else the process would end without the checkpoint that it speaks of."""
    asked = []

    @contextmanager
    def stopping():
        def is_stopped():
            asked.append(len(asked))
            return len(asked) > 3  # whenever it is asked for the fourth time

        yield is_stopped

    monkeypatch.setattr(loop_module, "stopping_between_steps", stopping)
    with pytest.raises(SystemExit):
        tiny_loop(tmp_path, [student()], checkpoint_every=1000).run()
    assert json.loads((tmp_path / "state.json").read_text())["step"] == 4


def test_a_checkpoint_of_another_share_of_replay_is_not_taken(tmp_path):
    first, other = student(), student()
    run_killed_at(tiny_loop(tmp_path, [first]), 9)
    other.replay = 0.25
    trained(tmp_path, other)
    assert len(other.history) == 12
    assert without_seconds(other) == without_seconds(trained(tmp_path / "b", student()))

"""Successive halving: the correlation of two rungs decides how many masks climb on."""

import itertools
import math

import pytest

from tasks.masks.mask import Mask
from tasks.searchers.climb import Climb, Ladder, climb
from tasks.searchers.rungs import Entry, correlation_within_sizes, survivors
from tasks.sections.healing import Healing
from tasks.training.healing import Healer
from tasks.training.loop import Loop
from tasks.training.rivals import tuned_on
from tests.tiny import tiny_data, tiny_model, tiny_recipe

MASKS: list[Mask] = [(0,), (1,), (2,), (3,), (0, 1), (1, 2), (2, 3)]
ERRORS = dict(zip(MASKS, [4.0, 3.0, 2.0, 1.0, 0.7, 0.8, 0.6], strict=True))


@pytest.mark.parametrize(
    ("tau", "left"),
    [
        (1.0, [(3,), (2, 3)]),
        (0.5, [(3,), (2, 3)]),
        (0.2, [(3,), (2,), (2, 3), (0, 1)]),
        (None, [(3,), (2,), (2, 3), (0, 1)]),
        (-1.0, [(3,), (2,), (1,), (0,), (2, 3), (0, 1), (1, 2)]),
    ],
)
def test_the_less_two_rankings_agree_the_more_masks_survive(tau, left):
    assert survivors(ERRORS, tau) == left


def test_a_tau_of_one_keeps_exactly_the_best_of_each_size():
    for order in itertools.permutations(range(4)):
        errors = {(block,): float(rank) for block, rank in enumerate(order)}
        assert survivors(errors, 1.0) == [min(errors, key=errors.__getitem__)]


def test_sizes_do_not_count_as_agreement():
    before = {(0,): 9.0, (1,): 8.0, (0, 1): 2.0, (1, 2): 1.0}
    after = {(0,): 5.0, (1,): 6.0, (0, 1): 3.0, (1, 2): 4.0}
    assert correlation_within_sizes(before, after) == -1
    assert correlation_within_sizes(before, before) == 1
    assert correlation_within_sizes(before, {(0,): 1.0, (0, 1): 2.0}) is None
    tied = dict.fromkeys(before, 1.0)
    assert correlation_within_sizes(before, tied) == 0
    assert correlation_within_sizes(before, dict.fromkeys(before, math.inf)) == 0


def ladder(folder, rates=()) -> Ladder:
    full = tiny_model()
    plain = [f"plain@{rate}" for rate in rates]
    healing = Healing(steps=6, options=[*plain, "plain@3", "distilled"])
    healer = Healer(
        full=full,
        teacher=full,
        data=tiny_data(),
        recipe=tiny_recipe(),
        healing=healing,
        rate=3e-3,
        scratch_rate=3e-3,
        scores=None,
    )
    return Ladder(healer=healer, state=folder, what="search")


def run(folder, rungs=(2, 4), rates=(), masks=MASKS) -> Climb:
    entries = [Entry(mask, "few_layer", ERRORS[mask], len(mask) / 5) for mask in masks]
    return climb(ladder(folder, rates), entries, rungs, 6)


def test_few_masks_reach_the_next_rung_and_the_best_of_each_size_are_healed_fully(tmp_path):
    climbed = run(tmp_path)
    first, second = climbed.rungs
    assert set(first.errors) == set(MASKS)
    assert set(second.errors) == set(survivors(first.errors, first.tau))
    assert first.tau == correlation_within_sizes(ERRORS, first.errors)
    assert second.tau == correlation_within_sizes(first.errors, second.errors)
    assert list(climbed.full) == climbed.finalists == survivors(second.errors, 1.0)
    for candidate in climbed.candidates():
        reached = tuple(candidate.keep) in second.errors
        assert len(candidate.valid_mse_healed) == 1 + reached
        assert (candidate.valid_mse_fully_healed is not None) == (
            tuple(candidate.keep) in climbed.full
        )
    assert climbed.extra.model.num_blocks == 5
    assert any(tmp_path.iterdir())  # until the results are written
    climbed.discard_state()
    assert not any(tmp_path.iterdir())


def test_of_one_size_nothing_is_healed_fully_but_the_full_model(tmp_path):
    whole, one_size = run(tmp_path), run(tmp_path, masks=MASKS[:4])
    assert one_size.full == {}
    assert one_size.finalists == survivors(one_size.rungs[-1].errors, 1.0)
    assert len(one_size.finalists) == 1
    assert one_size.extra.best_valid == whole.extra.best_valid
    assert one_size.extra.steps_run == 6
    assert all(made.valid_mse_fully_healed is None for made in one_size.candidates())


def test_the_full_model_is_tuned_in_every_way_and_the_best_is_its_error(tmp_path):
    climbed = run(tmp_path / "climb", rungs=(2,), rates=(1e-6, 3.0))
    made = ladder(tmp_path / "alone", (1e-6, 3.0))
    students = tuned_on(made.healer, 6)
    made.healer.heal([], steps=6, state_folder=made.state, what="alone", rivals=students)
    assert [one.way for one in students] == ["plain@1e-06", "plain@3.0", "plain@3", "distilled"]
    assert len({one.best_valid for one in students}) > 1
    best = min(students, key=lambda one: one.best_valid)
    assert climbed.extra.name == "full_extra"
    assert (climbed.extra.way, climbed.extra.best_valid) == (best.way, best.best_valid)


def test_one_rung_costs_what_it_did_before_halving(tmp_path, monkeypatch):
    steps, original = [], Loop._backward

    def count(self, batch, active, *others):
        steps.append(len(active))
        original(self, batch, active, *others)

    monkeypatch.setattr(Loop, "_backward", count)
    run(tmp_path, rungs=(2,))
    assert sum(steps) == 2 * len(MASKS) + 6 * (
        2 * 2 + 2
    )  # in the end by both options, as the full one


@pytest.mark.parametrize("killed_at", [2, 4, 9])
def test_a_killed_climb_resumed_ends_bit_identical(tmp_path, monkeypatch, killed_at):
    class Killed(Exception):
        pass

    whole, done, original = run(tmp_path / "a"), [0], Loop._step

    def step_or_die(self, step):
        done[0] += 1
        if done[0] == killed_at:
            raise Killed
        original(self, step)

    with monkeypatch.context() as patch:
        patch.setattr(Loop, "_step", step_or_die)
        with pytest.raises(Killed):
            run(tmp_path / "b")
    again = run(tmp_path / "b")
    assert again.rungs == whole.rungs
    assert again.full == whole.full
    assert again.extra.best_valid == whole.extra.best_valid

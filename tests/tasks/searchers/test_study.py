"""The study: always feasible, seeded, exhaustive where small, resumable with the same result."""

import itertools

import pandas as pd
import pytest

from tasks.masks.mask import parse_mask, top_mask
from tasks.searchers.evaluator import MaskEvaluator
from tasks.searchers.journal import mend_journal
from tasks.searchers.rungs import Entry, choose, pick_candidates, rank_correlation
from tasks.searchers.space import decode, encode
from tasks.searchers.study import Plan, pareto_front, run_study
from tasks.sections import Search
from tests.tiny import tiny_model, tiny_windows

WINDOWS = tiny_windows(6)


def plan(sizes=(1, 2), proposals=()):
    costs = [kept / 5 for kept in range(6)]
    return Plan(
        name="study",
        num_blocks=5,
        sizes=list(sizes),
        proposals=list(proposals),
        costs=costs,
        seed=3,
    )


def run(tmp_path, options, the_plan=None, evaluator=None) -> pd.DataFrame:
    evaluator = evaluator or MaskEvaluator(tiny_model("qwen3"), WINDOWS)
    return run_study(the_plan or plan(), options, evaluator, tmp_path / "journal.log", "search")


class Killed(Exception):
    pass


class DyingEvaluator(MaskEvaluator):
    """Raises at the given call, as a kill in the middle of a trial would."""

    calls = 0
    dies_at = 10**9

    def error(self, mask):
        self.calls += 1
        if self.calls == self.dies_at:
            raise Killed
        return super().error(mask)


@pytest.mark.parametrize(
    "mask",
    [mask for size in (1, 2, 3) for mask in itertools.combinations(range(5), size)],
)
def test_every_mask_can_be_written_as_parameters(mask):
    assert decode(encode(mask, 5), 5) == mask


def test_few_masks_are_all_measured_and_the_best_is_found(tmp_path):
    trials = run(tmp_path, Search(exhaustive_limit=15))
    assert set(trials["keep"].map(parse_mask)) == {
        mask for size in (1, 2) for mask in itertools.combinations(range(5), size)
    }
    model = tiny_model("qwen3")
    best = trials.loc[trials["valid_mse"].idxmin()]
    again = MaskEvaluator(model.with_blocks(parse_mask(best["keep"])), WINDOWS)
    assert again.error(tuple(range(best["num_kept"]))) == pytest.approx(best["valid_mse"])


@pytest.mark.parametrize("sampler", ["tpe", "nsga2", "random"])
def test_sampled_masks_have_wanted_sizes(tmp_path, sampler):
    trials = run(tmp_path, Search(exhaustive_limit=0, trials=25, sampler=sampler))
    assert len(trials) == 25
    assert set(trials["num_kept"]) <= {1, 2}


def test_proposals_come_first_and_keep_their_source(tmp_path):
    proposals = [("few_layer", (0, 1)), ("removal_loss", (0, 1)), ("removal_loss", (3,))]
    trials = run(tmp_path, Search(exhaustive_limit=0, trials=5), plan(proposals=proposals))
    assert list(trials["keep"][:2]) == ["0 1", "3"]
    assert list(trials["source"][:2]) == ["few_layer", "removal_loss"]


def test_repeated_masks_are_measured_once(tmp_path):
    evaluator = MaskEvaluator(tiny_model("qwen3"), WINDOWS)
    trials = run(tmp_path, Search(exhaustive_limit=0, trials=40), evaluator=evaluator)
    assert len(evaluator.memo) == trials["keep"].nunique() < 40


@pytest.mark.parametrize("sampler", ["tpe", "nsga2"])
@pytest.mark.parametrize("dies_at", [1, 3, 14, 27])
def test_a_killed_study_resumed_gives_the_same_trials(tmp_path, dies_at, sampler):
    options = Search(exhaustive_limit=0, trials=30, sampler=sampler)
    the_plan = plan(proposals=[("few_layer", (0, 1)), ("even", (0, 4))])
    whole = run(tmp_path / "a", options, the_plan)
    dying = DyingEvaluator(tiny_model("qwen3"), WINDOWS)
    dying.dies_at = dies_at
    with pytest.raises(Killed):
        run(tmp_path / "b", options, the_plan, dying)
    pd.testing.assert_frame_equal(run(tmp_path / "b", options, the_plan), whole)


def test_a_torn_journal_costs_one_record_and_not_the_study(tmp_path):
    options = Search(exhaustive_limit=0, trials=20)
    whole = run(tmp_path / "a", options)
    path = tmp_path / "a/journal.log"
    content = path.read_bytes()
    for cut in range(len(content) // 2, len(content), len(content) // 11):
        folder = tmp_path / str(cut)
        folder.mkdir()
        (folder / "journal.log").write_bytes(content[:cut])
        pd.testing.assert_frame_equal(run(folder, options), whole)
        pd.testing.assert_frame_equal(run(folder, options), whole)


def test_mending_a_whole_journal_changes_nothing(tmp_path):
    path = tmp_path / "journal.log"
    path.write_bytes(b'{"a": 1}\n{"b": 2}\n')
    assert mend_journal(path) == 0
    path.write_bytes(b'{"a": 1}\n{"b"')
    assert mend_journal(path) == 4
    assert path.read_bytes() == b'{"a": 1}\n'


def test_the_front_holds_what_nothing_beats(tmp_path):
    trials = run(tmp_path, Search(exhaustive_limit=15))
    front = pareto_front(trials)
    assert front["cost"].is_monotonic_increasing
    assert front["valid_mse"].is_monotonic_decreasing
    for row in front.itertuples():
        beats = (trials["cost"] <= row.cost) & (trials["valid_mse"] < row.valid_mse)
        assert not beats.any()


def test_candidates_are_the_best_of_each_size_and_every_scores_own():
    trials = pd.DataFrame(
        {
            "number": range(6),
            "keep": ["0", "1", "2", "0 1", "1 2", "0 2"],
            "num_kept": [1, 1, 1, 2, 2, 2],
            "source": ["few_layer", "tpe", "tpe", "tpe", "few_layer", "tpe"],
            "valid_mse": [3.0, 1.0, 2.0, 1.0, 5.0, 2.0],
            "cost": [0.2] * 3 + [0.4] * 3,
        }
    )
    masks = [entry.mask for entry in pick_candidates(trials, 1, ["few_layer"])]
    assert masks == [(1,), (0,), (0, 1), (1, 2)]


def test_the_choice_is_the_smallest_mask_within_the_margin():
    healed = {(0,): 1.5, (0, 1): 1.015, (0, 2): 1.01, (0, 1, 2): 0.9}
    mask, within, reason = choose(healed, 1.0, 0.02)
    assert (mask, within) == ((0, 2), True)
    assert "smallest mask" in reason


def test_without_a_mask_in_the_margin_the_best_is_taken_and_labelled_so():
    mask, within, reason = choose({(0,): 1.5, (0, 1): 1.2}, 1.0, 0.02)
    assert (mask, within) == ((0, 1), False)
    assert "no mask came within 2%" in reason


@pytest.mark.parametrize(
    ("before", "after", "tau"),
    [
        ([1, 2, 3], [4, 5, 6], 1.0),
        ([1, 2, 3], [6, 5, 4], -1.0),
        ([1], [1], None),
        ([1, 1], [1, 2], None),
    ],
)
def test_rank_correlation(before, after, tau):
    assert rank_correlation(before, after) == tau


def test_top_mask_of_an_entry_is_what_a_score_proposes():
    entry = Entry(top_mask([0.1, 0.9, 0.5], 2), "few_layer", 1.0, 0.5)
    assert entry.mask == (1, 2)

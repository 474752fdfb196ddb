"""The study: always feasible, seeded, exhaustive where small, resumable with the same result."""

import itertools

import numpy as np
import pandas as pd
import pytest
from optuna.storages import InMemoryStorage
from optuna.trial import TrialState

from tasks.masks.cost import Costs, share_costs
from tasks.masks.mask import parse_mask, top_mask
from tasks.searchers.evaluator import MaskEvaluator
from tasks.searchers.journal import open_journal
from tasks.searchers.queue import StudyQueue
from tasks.searchers.rungs import Entry, choose, pick_candidates, rank_correlation
from tasks.searchers.space import decode, encode
from tasks.searchers.study import Gauge, Plan, fully_measured, pareto_front, run_study
from tasks.sections.search import Search
from tests.tasks.searchers.synthetic import gauge_of, loss_table, study_on
from tests.tiny import tiny_model, tiny_windows

WINDOWS = tiny_windows(6)
SAMPLERS = ["surrogate", "swap", "tpe", "nsga2", "random"]


def plan(sizes=(1, 2), proposals=()):
    return Plan(
        name="study",
        num_blocks=5,
        sizes=list(sizes),
        proposals=list(proposals),
        costs=share_costs(5),
        seed=3,
    )


def gauge(options, the_plan=None, evaluator=None) -> Gauge:
    evaluator = evaluator or MaskEvaluator(tiny_model("qwen3"), WINDOWS)
    return Gauge(the_plan or plan(), options, evaluator)


class Killed(Exception):
    pass


class DyingEvaluator(MaskEvaluator):
    """Raises at the given call, as a kill in the middle of a trial would."""

    calls = 0
    dies_at = 10**9

    def errors(self, masks):
        self.calls += 1
        if self.calls == self.dies_at:
            raise Killed
        return super().errors(masks)


@pytest.mark.parametrize(
    "mask",
    [mask for size in (1, 2, 3) for mask in itertools.combinations(range(5), size)],
)
def test_every_mask_can_be_written_as_parameters(mask):
    assert decode(encode(mask, 5), 5) == mask


@pytest.mark.parametrize("racing", [True, False])
def test_few_masks_are_all_measured_and_the_best_is_found(racing):
    trials = study_on(gauge(Search(exhaustive_limit=15, racing=racing)))
    assert sorted(trials["keep"].map(parse_mask)) == sorted(
        mask for size in (1, 2) for mask in itertools.combinations(range(5), size)
    )
    model = tiny_model("qwen3")
    best = trials.loc[trials["valid_mse"].idxmin()]
    again = MaskEvaluator(model.with_blocks(parse_mask(best["keep"])), WINDOWS)
    assert again.error(tuple(range(best["num_kept"]))) == pytest.approx(best["valid_mse"])


@pytest.fixture(scope="module")
def raced() -> tuple[pd.DataFrame, pd.DataFrame]:
    """The same masks measured on 256 windows, raced and one by one."""
    the_plan = plan([1, 2, 3], [("few_layer", (0, 1)), ("last", (4,))])
    frames = []
    for racing in (True, False):
        evaluator = MaskEvaluator(tiny_model(), tiny_windows(256))
        options = Search(racing=racing, heal_top=2, racing_alpha=0.4)
        frames.append(study_on(gauge(options, the_plan, evaluator)))
    return frames[0], frames[1]


def test_a_race_stops_masks_and_says_after_how_many_windows(raced):
    trials, whole = raced
    assert (trials["windows"] < 256).any()
    assert (whole["windows"] == 256).all()
    exact = fully_measured(trials)
    assert set(exact["windows"]) == {256}
    assert set(trials["keep"][:2]) == {"0 1", "4"}
    assert (trials["windows"][:2] == 256).all()  # proposals always count


def test_what_the_race_measured_fully_has_the_same_error(raced):
    trials, whole = raced
    both = fully_measured(trials).merge(whole, on="keep", suffixes=("", "_whole"))
    assert (both["valid_mse"] == both["valid_mse_whole"]).all()


def test_front_and_candidates_of_a_race_are_fully_measured(raced):
    trials, whole = raced
    exact = set(fully_measured(trials)["keep"])
    assert set(pareto_front(trials)["keep"]) <= exact
    stopped = trials.assign(valid_mse=np.where(trials["windows"] < 256, 0.0, trials["valid_mse"]))
    assert set(pareto_front(stopped)["keep"]) <= exact
    pd.testing.assert_frame_equal(pareto_front(trials), pareto_front(whole))


@pytest.mark.parametrize("sampler", [*SAMPLERS, "gp"])
def test_sampled_masks_have_wanted_sizes(sampler):
    options = Search(exhaustive_limit=0, trials=12, sampler=sampler)
    trials = study_on(gauge_of(loss_table(8, [2, 3], 0), options, num_blocks=8))
    assert len(trials) == 12
    assert set(trials["num_kept"]) <= {2, 3}
    assert set(trials["source"]) == {sampler}


def test_proposals_come_first_and_keep_their_source():
    proposals = [("few_layer", (0, 1)), ("removal_loss", (0, 1)), ("removal_loss", (3,))]
    trials = study_on(
        gauge(Search(exhaustive_limit=0, trials=5, sampler="random"), plan(proposals=proposals))
    )
    assert list(trials["keep"][:2]) == ["0 1", "3"]
    assert list(trials["source"][:2]) == ["few_layer", "removal_loss"]


def test_repeated_masks_are_measured_once():
    evaluator = DyingEvaluator(tiny_model("qwen3"), WINDOWS)
    options = Search(exhaustive_limit=0, trials=40, sampler="random", batch=1)
    trials = study_on(gauge(options, evaluator=evaluator))
    assert trials["keep"].nunique() == len(evaluator.memo) <= 15
    values = trials.groupby("keep")["valid_mse"].nunique()
    assert (values == 1).all()


def test_the_search_ends_when_no_mask_is_left():
    trials = study_on(gauge(Search(exhaustive_limit=0, trials=1000, sampler="swap", batch=4)))
    assert trials["keep"].nunique() == 15
    assert len(trials) <= 16


@pytest.mark.parametrize("sampler", SAMPLERS)
@pytest.mark.parametrize("dies_at", [1, 3, 14, 27])
def test_a_killed_study_resumed_gives_the_same_trials(tmp_path, dies_at, sampler):
    options = Search(exhaustive_limit=0, trials=30, sampler=sampler, batch=4)
    table = loss_table(9, [2, 3], 0)
    proposals = [("few_layer", (0, 1)), ("even", (0, 4, 8))]

    def fresh() -> Gauge:
        return gauge_of(table, options, num_blocks=9, proposals=proposals)

    whole = study_on(fresh())
    dying = fresh()
    evaluator = DyingEvaluator(tiny_model(blocks=2), tiny_windows(2))
    evaluator.memo, evaluator.dies_at = dict(table), dies_at
    with pytest.raises(Killed):
        study_on(Gauge(dying.plan, options, evaluator), open_journal(tmp_path / "journal.log"))
    resumed = study_on(fresh(), open_journal(tmp_path / "journal.log"))
    pd.testing.assert_frame_equal(resumed, whole)


def test_an_exhaustive_search_killed_in_a_race_gives_the_same_trials(tmp_path):
    options = Search(heal_top=1)
    whole = study_on(gauge(options))

    class DyingRace(MaskEvaluator):
        def measure(self, masks, index):
            if len(masks[-1]) == 2:
                raise Killed
            return super().measure(masks, index)

    with pytest.raises(Killed):
        study_on(
            gauge(options, evaluator=DyingRace(tiny_model("qwen3"), WINDOWS)),
            open_journal(tmp_path / "journal.log"),
        )
    resumed = study_on(gauge(options), open_journal(tmp_path / "journal.log"))
    pd.testing.assert_frame_equal(resumed, whole)


def test_a_torn_journal_costs_one_record_and_not_the_study(tmp_path):
    options = Search(exhaustive_limit=0, trials=12, sampler="swap")
    table = loss_table(8, [2], 0)

    def run(folder):
        return study_on(
            gauge_of(table, options, num_blocks=8), open_journal(folder / "journal.log")
        )

    whole = run(tmp_path / "a")
    content = (tmp_path / "a/journal.log").read_bytes()
    for cut in range(len(content) // 3, len(content), len(content) // 7):
        folder = tmp_path / str(cut)
        folder.mkdir()
        (folder / "journal.log").write_bytes(content[:cut])
        pd.testing.assert_frame_equal(run(folder), whole)
        pd.testing.assert_frame_equal(run(folder), whole)


def test_costs_are_those_of_the_first_start():
    storage = InMemoryStorage()
    options = Search(exhaustive_limit=15)
    first = study_on(gauge(options), storage)
    measured_anew = Plan(**(vars(plan()) | {"costs": Costs(["block"] * 5, [9.0] * 6)}))
    queue = StudyQueue.create(storage, "study")
    again = run_study(gauge(options, measured_anew), queue, "search")
    pd.testing.assert_frame_equal(again, first)


def test_every_slot_has_one_complete_trial():
    storage = InMemoryStorage()
    study_on(gauge(Search(exhaustive_limit=0, trials=14, sampler="surrogate")), storage)
    trials = StudyQueue(storage, "study").trials()
    assert [trial.user_attrs["slot"] for trial in trials] == list(range(14))
    assert {trial.state for trial in trials} == {TrialState.COMPLETE}


def test_the_front_holds_what_nothing_beats():
    trials = study_on(gauge(Search(exhaustive_limit=15)))
    front = pareto_front(trials)
    assert front["cost"].is_monotonic_increasing
    assert front["valid_mse"].is_monotonic_decreasing
    for row in front.itertuples():
        beats = (trials["cost"] <= row.cost) & (trials["valid_mse"] < row.valid_mse)
        assert not beats.any()


def test_candidates_are_the_best_of_each_size_and_the_scores_own():
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
    masks = [entry.mask for entry in pick_candidates(trials, 1, [(0,), (1,), (1, 2)])]
    assert masks == [(1,), (0,), (0, 1), (1, 2)]
    assert [entry.mask for entry in pick_candidates(trials, 1, [])] == [(1,), (0, 1)]


def test_only_the_named_scores_masks_are_healed_along():
    proposals = [
        ("cka", (1, 2)), ("few_layer", (1, 2)), ("cka", (2, 4)), ("few_layer", (0,)),
        ("removal_loss", (0,)),
    ]  # fmt: skip
    trials = study_on(gauge(Search(exhaustive_limit=0, trials=5), plan(proposals=proposals)))
    assert set(trials["source"][:3]) == {"cka", "few_layer"}

    def healed(*names):
        own = plan(proposals=proposals).proposed_by(names)
        return {entry.mask for entry in pick_candidates(trials, 1, own)}

    best = healed()
    assert healed("few_layer", "taylor") == best | {(1, 2), (0,)}  # (1, 2) was first of cka
    assert healed("removal_loss") == best | {(0,)}
    assert healed("cka") == best | {(1, 2), (2, 4)}


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

from pathlib import Path

import pytest

from tasks.figures import words
from tasks.figures.curves import SizedError
from tasks.figures.inputs import Pair, read_pair
from tasks.figures.verdicts import correct_verdicts
from tasks.metrics.paired import holm
from tasks.params import validate_params
from tests.tasks.figures.made_up_run import made_up_params, write_run


@pytest.fixture
def pair(tmp_path: Path) -> Pair:
    write_run(tmp_path, datasets=["demo"], models=["tsfm-pico"])
    return read_pair(tmp_path, dataset="demo", model="tsfm-pico")


def notes(pair: Pair, train_share: float = 1.0, **changes: object) -> str:
    evaluation = pair.evaluation.model_copy(update=changes)
    changed = Pair(**{**pair.__dict__, "evaluation": evaluation})
    (corrected,) = correct_verdicts([evaluation], alpha=0.05, adjust=holm)
    content = made_up_params() | {"training": {"train_share": train_share}}
    params = validate_params(content, "params.yaml")
    return "\n".join(note.text for note in words.notes_on(changed, corrected, params))


def sized(model: str, params: int, mse: float) -> SizedError:
    return SizedError(
        dataset="weather", model=model, group="tsfm random", params_full=params,
        params_pruned=params // 4, mse_full=mse, mse_pruned=mse,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("text", "expected"), [("it holds", "It holds."), ("Why?", "Why?"), (" ", "")]
)
def test_a_sentence_starts_large_and_ends_with_a_stop(text: str, expected: str) -> None:
    assert words.sentence(text) == expected


def test_the_headline_counts_the_advice() -> None:
    advice = ["keep the full one", "take the pruned model", "take the pruned model"]
    expected = "Take the pruned model in 2 of 3 cases; keep the full one in 1 of 3 cases."
    assert words.headline(advice) == expected


def test_selection_that_adds_nothing_is_said(pair: Pair) -> None:
    assert "Selection adds nothing here" in notes(pair, selection_adds=False)
    assert "Selection adds nothing here" not in notes(pair, selection_adds=True)


def test_numbers_of_several_stacks_are_told(pair: Pair) -> None:
    assert "stack" not in notes(pair, stacks={"h": 12})
    stacks = {"encoder.block": 3, "decoder.block": 2}
    text = notes(pair, keep=[1, 4], stacks=stacks)
    assert "0 to 2 are encoder.block (1 of 3 kept); 3 to 4 are decoder.block (1 of 2 kept)" in text
    assert "No block of" not in text
    assert "No block of decoder.block is kept" in notes(pair, keep=[0, 1], stacks=stacks)
    assert "No block of" not in notes(pair, keep=[3], stacks=stacks)


def test_synthetic_data_and_series_that_are_not_stationary_are_said(pair: Pair) -> None:
    text = notes(pair)
    assert "synthetic: generated, not measured" in text
    assert "3 of 7 series show no stationarity" in text


def test_an_under_fitted_full_model_is_said(pair: Pair) -> None:
    assert "under-fitted" not in notes(pair)
    extra = pair.controls["full_extra"]
    lower = 0.97 * pair.training.valid_mse
    training = extra.training.model_copy(update={"valid_mse": lower})
    controls = pair.controls | {"full_extra": extra.model_copy(update={"training": training})}
    text = notes(Pair(**{**pair.__dict__, "controls": controls}), full_is="full_extra")
    assert "of extra tuning changed the full model's validation error by -3.0%" in text
    assert "the verdict may compare with an under-fitted model." in text


def test_a_validation_range_too_short_to_choose_by_is_said(pair: Pair) -> None:
    assert "side by side" not in notes(pair)
    rows = len(pair.per_step) + 1
    profile = pair.profile.model_copy(update={"valid_rows": rows})
    text = notes(Pair(**{**pair.__dict__, "profile": profile}))
    assert f"range ({rows} rows) holds 1 forecast of {rows - 1} rows side by side" in text
    assert "datasets.demo.split" in text


def test_fewer_training_rows_than_one_window_are_said(pair: Pair) -> None:
    window = 96 + len(pair.per_step)
    enough = window / pair.profile.train_rows
    assert "fewer than one window" not in notes(pair, train_share=enough)
    text = notes(pair, train_share=enough - 1 / pair.profile.train_rows)
    assert f"rows used ({window - 1}) are fewer than one window of 96 + {window - 96}:" in text
    assert "Raise training.train_share of tsfm-pico" in text


def test_training_that_never_lowered_the_validation_error_is_said(pair: Pair) -> None:
    assert "No step of training" not in notes(pair)
    training = pair.training.model_copy(update={"best_step": 0})
    text = notes(Pair(**{**pair.__dict__, "training": training}))
    assert "No step of training lowered the validation error" in text


@pytest.mark.parametrize(
    ("rate", "told"),
    [
        (1e-4, "0.0001 is the lowest of the 3 tried; a lower one"),
        (1e-3, ""),
        (1e-2, "0.01 is the highest of the 3 tried; a higher one"),
    ],
)
def test_a_learning_rate_at_the_edge_of_the_sweep_is_said(
    pair: Pair, rate: float, told: str
) -> None:
    assert "learning rate" not in notes(pair)
    sweep = {"0.0001": 0.4, "0.001": 0.4, "0.01": 0.4}
    training = pair.training.model_copy(update={"sweep": sweep, "learning_rate": rate})
    text = notes(Pair(**{**pair.__dict__, "training": training}))
    assert told in text
    assert ("learning rate" in text) == bool(told)


def test_tests_that_disagree_are_both_named(pair: Pair) -> None:
    assert "disagree" not in notes(pair)
    text = notes(pair, verdict="inconclusive", p_value=0.2, p_superior=0.7)
    assert "inconclusive by the bootstrap (p 0.200 non-inferior, 0.700 superior)" in text
    assert "superior by Diebold and Mariano's test" in text


def test_a_random_backbone_is_labelled_where_a_pretrained_one_is_expected(pair: Pair) -> None:
    label = "gpt2, random initialisation"
    assert "Random backbone (gpt2" in notes(pair, family="llm4ts", backbone_label=label)
    assert "Random backbone" not in notes(pair, family="tsfm", backbone_label=label)


@pytest.mark.parametrize(
    ("mse_of_large", "says"),
    [
        (0.15, "the larger model wins"),
        (0.18, "the larger model does not win"),
        (0.171, "size makes no clear difference"),
    ],
)
def test_scale_is_judged_per_dataset(mse_of_large: float, says: str) -> None:
    points = [sized("nano", 600_000, 0.17), sized("micro", 2_400_000, mse_of_large)]
    (text,) = words.scale_sentences(points)
    assert f"weather: {says}" in text


def test_models_of_one_size_are_not_called_larger() -> None:
    (text,) = words.scale_sentences([sized("a", 100, 0.2), sized("b", 100, 0.1)])
    assert "all models are of one size; b (100) 0.1000 has the lowest error" in text


@pytest.mark.parametrize(
    ("tau", "says"),
    [(0.8, "mostly survives"), (0.3, "says little"), (-0.5, "does not predict"), (None, "Too few")],
)
def test_the_rank_correlation_is_put_into_words(pair: Pair, tau: float | None, says: str) -> None:
    search = pair.search.model_copy(update={"rank_correlations": [tau, 1.0]})
    assert says in words.rank_sentence(Pair(**{**pair.__dict__, "search": search}))


def test_every_rung_is_told(pair: Pair) -> None:
    assert "Healed further: 5 masks for 150 steps (tau 0.60)." in words.rank_sentence(pair)


def test_the_kept_way_of_healing_and_all_errors_are_told(pair: Pair) -> None:
    told = words.healing_sentence(pair.prune)
    assert told.startswith("Kept by validation error: distilled (plain 0.")
    assert "distilled 0." in told

"""Tables over scales from windows and rows with known answers."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from tasks.artifacts.scoring import Score, Scores
from tasks.artifacts.training import (
    ControlSummary,
    HealedOption,
    PruneSummary,
)
from tasks.metrics.scale import (
    FINISHED,
    HEALED,
    MEAN,
    corrected,
    models_with,
    part_errors,
    read_study,
    with_mean,
)
from tasks.metrics.scale_tables import markdown_of_study, pruning_table, scale_table
from tasks.params import load_params
from tests import ROOT
from tests.tasks.metrics.workspace import summary

WINDOWS = pd.DataFrame(
    {
        "series": [0, 0, 1],
        "offset": [0, 1, 0],
        "points": [2, 4, 0],
        "full": [1.0, 4.0, np.nan],
        "pruned": [2.0, 2.0, np.nan],
        "random_0": [1.0, 1.0, np.nan],
        "random_1": [4.0, 4.0, np.nan],
    }
)


def part(dataset: str, **changes: object) -> dict[str, object]:
    names = ("pruned", "random", "random_best", "first", "last", "even", "scratch", "linear")
    facts = {"dataset": dataset, "model": "m", "parameters": 85_000_000, "blocks": 28, "kept": 8,
             "keep": "0 1", "rate": 1e-4, "steps": 9, "precision": "bf16", "full": 1.0}  # fmt: skip
    tests = {"difference": 0.0, "low": -0.1, "high": 0.1, "margin": 0.02}
    p_values = {"p_noninferior": 0.04, "p_superior": 0.5, "p_inferior": 0.96}
    return facts | dict.fromkeys(names, 1.0) | tests | p_values | changes


def test_errors_are_means_over_the_observed_points() -> None:
    errors = part_errors(WINDOWS)
    assert errors["full"] == pytest.approx((2 * 1 + 4 * 4) / 6)
    assert errors["pruned"] == pytest.approx(2)
    assert (errors["random"], errors["random_best"], errors["random_worst"]) == (2.5, 1, 4)
    assert not {"random_0", "series", "points"} & set(errors)


def test_verdicts_are_corrected_over_the_datasets() -> None:
    alone = corrected([part("a")], alpha=0.05)
    assert list(alone["verdict"]) == ["non-inferior"]
    rows = corrected([part("a"), part("b"), part("c", p_inferior=0.01)], alpha=0.05)
    assert list(rows["verdict"]) == ["inconclusive", "inconclusive", "inferior"]


def test_every_dataset_counts_the_same_in_the_mean() -> None:
    rows = corrected([part("a", full=1.0, pruned=1.0), part("b", full=3.0, pruned=4.0)], alpha=0.05)
    mean = with_mean(rows).iloc[-1]
    assert (mean["dataset"], mean["full"], mean["pruned"]) == (MEAN, 2.0, 2.5)
    assert mean["difference"] == pytest.approx(0.25)
    assert mean["blocks"] == 28


def test_tables_have_one_row_per_model() -> None:
    errors = with_mean(corrected([part("a"), part("b", p_noninferior=0.001)], alpha=0.05))
    assert scale_table(errors).to_dict("records") == [
        {"model": "m", "parameters": "85 M", "blocks": 28, "rate": "0.0001", "steps": 9,
         "a": 1.0, "b": 1.0, "mean": 1.0}
    ]  # fmt: skip
    (row,) = pruning_table(errors).to_dict("records")
    assert (row["kept"], row["proven"], row["difference"]) == ("8 of 28", "2 of 2", 0.0)


def test_a_model_is_finished_when_its_files_can_be_read() -> None:
    params = load_params(ROOT / "params.yaml")
    done = [f"{stage}@demo-tsfm-nano" for stage in FINISHED]
    assert models_with(FINISHED, params, done) == ["tsfm-nano"]
    assert models_with(FINISHED, params, done[:-1]) == []
    assert models_with(HEALED, params, done[:-1]) == ["tsfm-nano"]


def test_a_model_that_is_healed_has_its_validation_errors_and_profile(tmp_path: Path) -> None:
    params, pair = load_params(ROOT / "params.yaml"), "demo/tsfm-nano"
    controls = {"full_extra": 0.5, "random_0": 0.7, "random_1": 0.9, "scratch": 0.4}
    controls |= {"first": 0.8, "last": 0.8, "even": 0.8}
    summary(0.6).write(tmp_path / f"models/full/{pair}/training.json")
    for name, error in controls.items():
        control = ControlSummary(name=name, keep=[0, 1], way="plain", training=summary(error))
        control.write(tmp_path / f"models/controls/{pair}/{name}/control.json")
    PruneSummary(
        keep=[0, 3],
        valid_mse_unhealed=2.0,
        options=[
            HealedOption(name="plain", training=summary(0.7)),
            HealedOption(name="distilled", training=summary(0.6)),
        ],
        chosen="distilled",
    ).write(tmp_path / f"models/pruned/{pair}/prune.json")
    Scores(
        dataset="demo",
        model="tsfm-nano",
        num_blocks=4,
        calibration_windows=1,
        calibration_sha256="",
        calibration_source="",
        scores={"removal_loss": Score(values=[4.0, 3.0, 2.0, 1.0], parameters={})},
        cosine=[],
        cka=[],
    ).write(tmp_path / f"scores/{pair}.json")
    study = read_study(tmp_path, params, [f"{stage}@demo-tsfm-nano" for stage in HEALED])
    assert [n for n, one in study.tables().items() if not one.empty] == ["validation", "profile"]
    assert list(study.profile["removal_loss"]) == [4, 3, 2, 1]
    (row,) = study.validation.to_dict("records")
    assert (row["full"], row["pruned"], row["kept"], row["keep"]) == (0.5, 0.6, 2, "0 3")
    assert (row["random"], row["random_best"], row["scratch"]) == (pytest.approx(0.8), 0.7, 0.4)
    assert row["difference"] == pytest.approx(0.2)
    assert "| tsfm-nano | demo | 2 of 4 | 0.500 | 0.600 |" in markdown_of_study(study)

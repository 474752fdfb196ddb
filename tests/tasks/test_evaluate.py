"""The stage evaluate on a tiny workspace."""

import hashlib
import json
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from tasks.artifacts.evaluation import Evaluation
from tasks.data.series import load_series
from tasks.errors import ArtifactError, CheckpointError
from tasks.evaluate import main
from tasks.models.registry import load_model
from tests.tasks.metrics.workspace import CONTEXT, HORIZON, PRETRAINED, write_workspace

ARGUMENTS = ["--dataset", "toy", "--model", "small"]
METRICS = Path("evaluation/toy/small/evaluation.json")
SHOWN = Path("metrics/toy/small.json")
FOLDER = Path("evaluation/toy/small")


@pytest.fixture
def workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    write_workspace(tmp_path)
    return tmp_path


@pytest.fixture
def evaluated(workspace: Path) -> Evaluation:
    main(ARGUMENTS)
    return Evaluation.read(workspace / METRICS)


def hashes() -> dict[str, str]:
    paths = [SHOWN, *sorted(FOLDER.iterdir())]
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in paths}


def test_error_equals_one_computed_by_hand(evaluated: Evaluation) -> None:
    data = load_series(Path("data/test/toy"))
    model = load_model(Path("models/full/toy/small"))
    squares, points = 0.0, 0
    for one in data.series:
        values = torch.from_numpy(data.values[one.start : one.start + one.length].copy())
        for start in range(one.length - CONTEXT - HORIZON + 1):
            context = values[start : start + CONTEXT]
            actual = values[start + CONTEXT : start + CONTEXT + HORIZON]
            with torch.inference_mode():
                forecast = model.forecast(context[None], HORIZON).mean[0]
            error = (forecast - actual).double()
            squares += float(error.square().nansum())
            points += int((~actual.isnan()).sum())
    assert evaluated.full_untuned.mse == pytest.approx(squares / points, rel=1e-5)


def test_full_is_the_better_by_validation_error(evaluated: Evaluation) -> None:
    assert evaluated.full_is == "full_extra"
    assert evaluated.full == evaluated.controls["full_extra"]
    assert evaluated.valid_mse["full"] == evaluated.valid_mse["full_extra"] == 0.49
    assert evaluated.valid_mse["full_untuned"] == 0.5


def test_everything_asked_for_is_there(evaluated: Evaluation) -> None:
    assert set(evaluated.controls) == {
        "full_extra", "linear", "random_0", "random_1", "scratch", "seasonal_naive", "zero",
    }  # fmt: skip
    assert set(evaluated.valid_mse) >= {"pruned", "seasonal_naive", "linear", "zero"}
    assert evaluated.valid_mse["pruned"] == 0.55
    assert evaluated.zero_shot is None
    assert evaluated.zero_shot_pruned is None
    assert evaluated.stacks == {"layers": 3}
    assert (evaluated.layers_full, evaluated.layers_kept, evaluated.keep) == (3, 1, [0])
    assert evaluated.backbone_label == "qwen3, random initialisation"
    assert evaluated.difference == pytest.approx(evaluated.pruned.mse / evaluated.full.mse - 1)
    assert evaluated.missing_points > 0


def test_tables_agree_with_the_metrics(evaluated: Evaluation) -> None:
    windows = pd.read_parquet(FOLDER / "windows.parquet")
    steps = pd.read_csv(FOLDER / "per_step.csv")
    assert len(windows) == evaluated.num_windows
    assert list(windows.columns[:5]) == ["series", "offset", "points", "full", "pruned"]
    assert windows["pruned"].dtype == np.float32
    for name, errors in (evaluated.controls | {"pruned": evaluated.pruned}).items():
        pooled = (windows[name] * windows["points"]).sum() / windows["points"].sum()
        assert pooled == pytest.approx(errors.mse, rel=1e-4)
    assert list(steps["step"]) == list(range(1, HORIZON + 1))
    assert steps["full"].mean() == pytest.approx(evaluated.full.mse, rel=0.05)


def test_sample_forecasts_show_the_test_range(evaluated: Evaluation) -> None:
    samples = json.loads((FOLDER / "forecasts.json").read_text())
    data = load_series(Path("data/test/toy"))
    assert len(samples) == 2
    for sample in samples:
        one = next(one for one in data.series if one.name == sample["series"])
        start = one.start + CONTEXT + sample["start"]
        actual = np.array(sample["actual"], dtype=float)
        np.testing.assert_allclose(actual, data.values[start : start + HORIZON], atol=1e-6)
        assert len(sample["context"]) == 2 * HORIZON
        assert len(sample["full"]) == len(sample["pruned"]) == HORIZON
    assert evaluated.num_windows > 2


def test_both_tests_are_written_against_every_forecaster(evaluated: Evaluation) -> None:
    rows = json.loads((FOLDER / "tests.json").read_text())
    assert set(rows) == {"full", "full_untuned", *evaluated.controls}
    assert rows["full"]["p_noninferior"] == evaluated.p_value
    assert rows["full"]["diebold_mariano"] == evaluated.diebold_mariano.model_dump()


def test_rerun_writes_the_same_bytes(evaluated: Evaluation) -> None:
    before = hashes()
    shutil.rmtree("metrics")
    shutil.rmtree("evaluation")
    main(ARGUMENTS)
    assert hashes() == before
    assert evaluated == Evaluation.read(METRICS)


def test_batch_size_changes_errors_by_rounding_only(evaluated: Evaluation) -> None:
    params = Path("params.yaml")
    params.write_text(params.read_text().replace("batch_size: 64", "batch_size: 7"))
    main(ARGUMENTS)
    again = Evaluation.read(METRICS)
    assert again.pruned.mse == pytest.approx(evaluated.pruned.mse, rel=1e-5)
    assert again.num_windows == evaluated.num_windows


def test_no_sample_forecast_is_possible(workspace: Path) -> None:
    params = workspace / "params.yaml"
    params.write_text(params.read_text().replace("sample_forecasts: 2", "sample_forecasts: 0"))
    main(ARGUMENTS)
    assert json.loads((FOLDER / "forecasts.json").read_text()) == []


def test_pretrained_start_is_judged_before_any_tuning(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    write_workspace(tmp_path, params=PRETRAINED)
    main(ARGUMENTS)
    evaluated = Evaluation.read(METRICS)
    assert evaluated.zero_shot == evaluated.full_untuned  # the same weights, in this workspace
    assert evaluated.zero_shot_pruned == evaluated.pruned  # the same here, as nothing is healed
    assert {"zero_shot", "zero_shot_pruned"} <= set(evaluated.valid_mse)
    assert not {"zero_shot", "zero_shot_pruned"} & set(evaluated.controls)


def test_series_without_seasonal_difference_are_named(
    workspace: Path, caplog: pytest.LogCaptureFixture
) -> None:
    main(ARGUMENTS)
    assert "1 of 2 series have no seasonal difference" in caplog.text
    assert "s1" in caplog.text
    assert Evaluation.read(workspace / METRICS).pruned.mase is not None


def test_missing_control_is_named(workspace: Path) -> None:
    shutil.rmtree(workspace / "models/controls/toy/small/scratch")
    with pytest.raises(ArtifactError, match=r"models/controls/toy/small/scratch: missing; run"):
        main(ARGUMENTS)


def test_forecast_beyond_all_bounds_is_refused(workspace: Path) -> None:
    model = load_model(workspace / "models/controls/toy/small/zero")
    with torch.no_grad():
        model.head.weight.fill_(3e38)
    model.save(workspace / "models/controls/toy/small/zero")
    with pytest.raises(
        CheckpointError, match=r"must be numbers below 1e\+15 in size; zero breaks this"
    ):
        main(ARGUMENTS)

"""The stage stability on a tiny workspace."""

import itertools
from dataclasses import replace
from pathlib import Path

import pytest

from tasks.artifacts.search import SearchResult
from tasks.data.series import SeriesSet, load_series
from tasks.metrics.stability import Stability
from tasks.params import load_params
from tasks.stability import changes, main
from tests.tasks.metrics.workspace import CONTEXT, HORIZON, write_workspace

ARGUMENTS = ["--dataset", "toy", "--model", "small"]
OUT = Path("stability/toy/small.json")
OPTIONS = "stability: {draws: 2, windows: 8, horizons: [3, 8, 24]}\n"


@pytest.fixture
def workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    write_workspace(tmp_path)
    params = tmp_path / "params.yaml"
    params.write_text(params.read_text() + OPTIONS)
    SearchResult(
        dataset="toy", model="small", num_blocks=3, sizes=[2], exhaustive=True, num_masks=3,
        num_trials=3, full_valid_mse=0.5, full_unhealed_mse=0.5, margin=0.02, candidates=[],
        rungs=[],
        rank_correlations=[], rank_correlation_by_size={}, keep=[0, 2], within_margin=True,
        reason="",
    ).write(tmp_path / "search/toy/small/search.json")  # fmt: skip
    return tmp_path


def test_every_setting_chooses_a_mask_of_the_runs_size(workspace: Path) -> None:
    main(ARGUMENTS)
    found = Stability.read(OUT)
    assert [one.label for one in found.settings] == [
        "draw 1", "draw 2", "first half", "second half", "horizon 3",
    ]  # fmt: skip
    assert (found.keep, found.num_blocks, found.windows) == ([0, 2], 3, 8)
    for setting in found.settings:
        assert set(setting.scores) == {"few_layer", "block_influence", "removal_loss"}
        assert set(setting.masks) == {"search", *setting.scores}
        assert all(len(mask) == 2 for mask in setting.masks.values())
    values = [setting.scores["removal_loss"] for setting in found.settings]
    assert all(one != other for one, other in itertools.pairwise(values))
    assert Path("timings/stability/toy/small.json").is_file()


def test_rerun_writes_the_same_bytes(workspace: Path) -> None:
    main(ARGUMENTS)
    before = OUT.read_bytes()
    main(ARGUMENTS)
    assert OUT.read_bytes() == before


def test_halves_of_the_training_period_do_not_meet(workspace: Path) -> None:
    history = load_series(workspace / "data/prepared/toy/history")
    made = {one.label: one.source for one in changes(load_params(), history)}
    middle = history.series[0].train_end // 2
    first, second = made["first half"], made["second half"]
    last_start = int(first.first[0] + first.counts[0] - 1)
    assert last_start + CONTEXT + HORIZON == middle
    assert int(second.first[0]) == middle


def test_a_half_without_a_window_is_left_out_and_said(
    workspace: Path, caplog: pytest.LogCaptureFixture
) -> None:
    history = load_series(workspace / "data/prepared/toy/history")
    short = tuple(replace(one, train_end=CONTEXT + HORIZON) for one in history.series)
    found = list(changes(load_params(), SeriesSet(history.values, short)))
    assert {one.axis for one in found} == {"calibration", "horizon"}
    assert "half of the training period holds no window" in caplog.text


def test_everything_can_be_turned_off(workspace: Path) -> None:
    params = workspace / "params.yaml"
    off = "stability: {draws: 0, halves: false, horizons: []}\n"
    params.write_text(params.read_text().replace(OPTIONS, off))
    main(ARGUMENTS)
    assert Stability.read(OUT).settings == []

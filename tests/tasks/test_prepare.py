import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from tasks.artifacts.data import Profile
from tasks.data.series import load_series
from tasks.errors import ParamsError
from tasks.prepare import main

REPOSITORY = Path(__file__).parents[2]
PARAMS = """\
run: {datasets: [d], models: {m: none}, corpora: [c]}
windows: {context: 16, horizon: 4}
datasets: {d: {freq: h}, c: {kind: collection}}
scales: {s: {backbone: gpt2, blocks: 2, width: 8, heads: 1, learning_rate: 1e-3}}
models: {m: {family: tsfm, scale: s, patch: 8}}
"""


@pytest.fixture
def workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "params.yaml").write_text(PARAMS)
    raw = tmp_path / "data/raw/d"
    raw.mkdir(parents=True)
    rng = np.random.default_rng(0)
    frame = pd.DataFrame({"date": pd.date_range("2024-01-01", periods=200, freq="h")})
    frame[["a", "b"]] = rng.normal(size=(200, 2))
    frame.to_csv(raw / "x.csv", index=False)
    return tmp_path


def stage(workspace: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "tasks.prepare", *arguments],
        cwd=workspace,
        env={"PYTHONPATH": str(REPOSITORY), "PATH": ""},
        capture_output=True,
        text=True,
        check=False,
    )


def files_of(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def test_the_test_range_is_in_a_folder_of_its_own(workspace: Path) -> None:
    main(["--dataset", "d"])
    folder = workspace / "data/prepared/d"
    assert sorted(files_of(folder)) == ["history/series.json", "history/values.npy", "profile.json"]
    assert sorted(files_of(workspace / "data/test/d")) == ["series.json", "values.npy"]
    history, test = load_series(folder / "history"), load_series(workspace / "data/test/d")
    assert [one.length for one in history.series] == [160, 160]
    assert [one.length for one in test.series] == [56, 56]
    assert Profile.read(folder / "profile.json").dataset == "d"


def test_preparing_twice_writes_the_same_bytes(workspace: Path) -> None:
    main(["--dataset", "d"])
    first = files_of(workspace / "data")
    main(["--dataset", "d"])
    assert files_of(workspace / "data") == first


def test_a_collection_has_no_test_range(workspace: Path) -> None:
    raw = workspace / "data/raw/c"
    raw.mkdir()
    pd.DataFrame(
        {"dataset": "m", "item_id": ["1", "2"], "freq": None, "start": None,
         "target": [np.arange(30.0), np.arange(40.0)]}
    ).to_parquet(raw / "x.parquet")  # fmt: skip
    main(["--dataset", "c"])
    assert sorted(files_of(workspace / "data/prepared/c")) == [
        "history/series.json", "history/values.npy", "profile.json",
    ]  # fmt: skip
    assert not (workspace / "data/test").exists()


def test_an_unknown_dataset_is_refused(workspace: Path) -> None:
    with pytest.raises(ParamsError, match="no dataset named 'e'; it has: d, c"):
        main(["--dataset", "e"])


def test_bad_data_end_the_stage_with_one_line_and_nothing_written(workspace: Path) -> None:
    (workspace / "data/raw/d/x.csv").write_text("date,a\n2024-01-01,x\n2024-01-02,1\n")
    result = stage(workspace, "--dataset", "d")
    assert result.returncode == 1
    assert result.stdout == ""
    assert result.stderr.startswith("error: data/raw/d/x.csv, line 2, column 'a': must be a num")
    assert result.stderr.count("\n") == 1
    assert [one.name for one in (workspace / "data").iterdir()] == ["raw"]


def test_wrong_usage_ends_with_2(workspace: Path) -> None:
    assert stage(workspace).returncode == 2

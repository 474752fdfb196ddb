"""The healing table from raw data to its last row, on models of four blocks trained for moments."""

from datetime import datetime
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tasks.params import read_yaml, yaml_text
from tests import ROOT
from tests.bench.healing import RESULTS, SCORE, Cell, measure_all, missing_options, options_of
from tests.bench.healing_models import PRESET, workspace
from tests.bench.healing_table import as_text, compare, read_rows

SMALL = {"context": 64, "horizon": 16}
STEPS, LENGTH = 4, 1600


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """Our params.yaml with a smaller preset, and raw files where the first seed looks for them."""
    params = read_yaml(ROOT / "params.yaml")
    preset = params["presets"][PRESET]
    brief = {"steps": STEPS, "eval_every": 2, "valid_windows": 32}
    preset |= {
        "windows": SMALL,
        "scales": {"nano": {"blocks": 4, "width": 16, "heads": 2}},
        "models": {
            name: {"patch": 16, "training": brief}
            for name in params["models"]
            if name.startswith("foundation-nano")
        },
        "datasets": {"etth1": {"split": {"train": 1000, "validation": 300, "test": 300}}},
        "training": preset["training"] | brief,
        "scoring": {"calibration_windows": 16},
    }
    (tmp_path / "params.yaml").write_text(yaml_text(params))
    root, _ = workspace(tmp_path, 0)
    waves = np.sin(np.arange(LENGTH) / 4) + np.random.default_rng(0).normal(0, 0.1, LENGTH)
    dates = pd.date_range("2020-01-01", periods=LENGTH, freq="h")
    raw = root / "data/raw/etth1/etth1.csv"
    raw.parent.mkdir(parents=True)
    pd.DataFrame({"date": dates, "a": waves, "b": waves[::-1]}).to_csv(raw, index=False)
    corpus = root / "data/raw/pretrain/m.parquet"
    corpus.parent.mkdir(parents=True)
    names = [f"{one:02d}" for one in range(40)]
    table = pa.table(
        {
            "dataset": ["m"] * 40, "item_id": names, "freq": ["h"] * 40,
            "start": [datetime(2020, 1, 1)] * 40,
            "target": [waves[10 * one : 10 * one + 400].tolist() for one in range(40)],
        }
    )  # fmt: skip
    pq.write_table(table, corpus)
    return tmp_path


def test_every_option_is_measured_once_at_every_size(
    project: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    measure_all(project, datasets=["etth1"], seeds=[0], mask=SCORE, steps=STEPS)
    results = project / RESULTS
    rows = read_rows(results)
    root, params = workspace(project, 0)
    names = [option.name for option in options_of(params)]
    for size in (1, 2):
        assert sorted(rows[rows["num_kept"] == size]["option"]) == sorted(names)
        cell = Cell(dataset="etth1", num_kept=size, mask=SCORE, seed=0, steps=STEPS)
        assert not missing_options(cell, params, root, results)
    assert rows["valid_mse"].between(0, 10).all()
    assert rows["full_valid_mse"].nunique() == 1
    assert "| hidden_cut=0.9@16 |" in as_text(compare(rows))
    before = results.read_bytes()
    capfd.readouterr()
    measure_all(project, datasets=["etth1"], seeds=[0], mask=SCORE, steps=STEPS)
    assert results.read_bytes() == before
    assert capfd.readouterr() == ("", "")

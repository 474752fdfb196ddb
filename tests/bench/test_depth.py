"""The measure of what depth alone buys: its rows, and its command."""

import subprocess
import sys

import pandas as pd
import pytest

from tests import ROOT
from tests.bench import depth


def test_a_shallower_model_is_measured(tmp_path) -> None:
    command = [sys.executable, "-m", "tests.bench.depth", "--preset", "gpu-pico"]
    done = subprocess.run(
        [*command, "--models", "tsfm-pico", "--csv", str(tmp_path / "found.csv")],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    found = pd.read_csv(tmp_path / "found.csv")
    assert list(found["setting"]) == ["threads=1,batch=1", "threads=1,batch=64"]
    assert set(found["kept"]) == {3}
    assert (found["speedup"] > 1).all()
    assert "speedup" in done.stdout


def test_an_unknown_model_is_named(capsys, monkeypatch) -> None:
    monkeypatch.chdir(ROOT)
    with pytest.raises(SystemExit, match="2"):
        depth.main(["--preset", "gpu-pico", "--models", "none"])
    assert "there is no model 'none'; models: tsfm-pico, tsfm-pico-qwen3" in capsys.readouterr().err

"""The stage score on a tiny workspace, in processes of its own: same inputs, same bytes."""

import os
import subprocess
import sys
from pathlib import Path
from typing import get_args

import pytest

from tasks.artifacts.scoring import Scores
from tasks.sections.scoring import ScoreName
from tests import ROOT
from tests.tasks.metrics.workspace import write_workspace

NAMES = list(get_args(ScoreName))
OUT = "scores/toy/small.json"
OPTIONS = f"""
scoring:
  scores: [{", ".join(NAMES)}]
  calibration_windows: 24
  batch_size: 16
  sublayers: true
  gate: {{steps: 4}}
  sensitivity: {{windows: [8, 40], draws: [spaced, random, stratified]}}
"""


@pytest.fixture
def workspace(tmp_path: Path) -> Path:
    write_workspace(tmp_path)
    params = tmp_path / "params.yaml"
    params.write_text(params.read_text() + OPTIONS)
    return tmp_path


def score(workspace: Path) -> bytes:
    """Runs the stage as dvc.yaml does and returns what it wrote."""
    (workspace / OUT).unlink(missing_ok=True)
    done = subprocess.run(
        [sys.executable, "-m", "tasks.score", "--dataset", "toy", "--model", "small"],
        cwd=workspace,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return (workspace / OUT).read_bytes()


def test_all_scores_twice_give_the_same_bytes(workspace: Path) -> None:
    first = score(workspace)
    found = Scores.model_validate_json(first)
    assert list(found.scores) == NAMES
    assert all(len(one.values) == found.num_blocks == 3 for one in found.scores.values())
    assert set(found.sublayers) == {"attention", "mlp"}
    assert found.sensitivity is not None
    assert found.removal is not None
    assert score(workspace) == first

"""A run that was stopped goes on by its own code, and begins anew by any other."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

from tasks.pipeline.code import ROOT

SCRIPT = """
import logging, sys
from pathlib import Path

from tests.tiny import tiny_loop, tiny_model
from tasks.training.recipe import Student

logging.basicConfig(stream=sys.stdout, format="%(message)s", level=logging.INFO)
for _ in range(2):
    student = Student(name="full", model=tiny_model(), steps=8, learning_rate=1e-3)
    tiny_loop(Path("state"), [student]).run()
    print("ended")
"""


def train(folder: Path) -> str:
    environment = os.environ | {"PYTHONPATH": f"{folder}:{ROOT}"}  # tasks/ from there
    command = [sys.executable, "-c", SCRIPT]
    done = subprocess.run(
        command, cwd=folder, env=environment, text=True, capture_output=True, check=True
    )
    return done.stdout


def test_changed_code_does_not_go_on_from_the_state_of_the_old(tmp_path: Path) -> None:
    without = shutil.ignore_patterns("__pycache__")
    shutil.copytree(ROOT / "tasks", tmp_path / "tasks", ignore=without)
    old = train(tmp_path)
    assert "resumed at step 8" in old.split("ended")[1]
    with (tmp_path / "tasks/training/lessons.py").open("a") as file:
        file.write("# another loss\n")
    assert "resumed" not in train(tmp_path).split("ended")[0]

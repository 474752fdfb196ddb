"""Stages and families leave no tensor on the CPU when the model is on another device."""

import subprocess
import sys

import pytest

from tests import ROOT


@pytest.mark.slow
def test_the_cases_on_an_emulated_device_hold() -> None:
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"]
    done = subprocess.run(
        [*command, "tests/emulated_cases.py"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout

"""Where the real benchmark files are, when they are at hand."""

import os
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[3]


@pytest.fixture(scope="session")
def mirror() -> Path:
    """FEWLAYERS_MIRROR, or ../shared/data/benchmark beside the repository."""
    folder = Path(os.environ.get("FEWLAYERS_MIRROR") or REPOSITORY.parent / "shared/data/benchmark")
    if not folder.is_dir():
        pytest.skip(f"no benchmark files: FEWLAYERS_MIRROR is not set and {folder} is not there")
    return folder

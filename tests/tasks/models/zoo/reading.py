"""How transformers itself reads a folder, and how a run imports one it wrote."""

from pathlib import Path
from typing import Any

from tasks.models.base import ForecastModel
from tasks.models.build import build_model
from tasks.sections.data import Windows
from tasks.sections.models import FolderStart
from tasks.sections.zoo import ZooEntry


def read_whole(kind: Any, folder: Path) -> Any:
    """The library's model; fails on missing, unexpected or newly initialised weights."""
    model, info = kind.from_pretrained(folder, output_loading_info=True)
    assert not info["missing_keys"]
    assert not info["unexpected_keys"]
    assert not info["mismatched_keys"]
    return model.eval()


def imported(family: Any, folder: Path, windows: Windows) -> ForecastModel:
    """The model of an entry that starts from a checkpoint's folder."""
    entry = ZooEntry(family=family, start=FolderStart(kind="folder", path=str(folder)))
    return build_model(entry, None, windows, seed=1, pretrained=Path())[0].eval()

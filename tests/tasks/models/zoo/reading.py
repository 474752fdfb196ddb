"""How transformers itself reads a folder, for the contract tests of its families."""

from pathlib import Path
from typing import Any


def read_whole(kind: Any, folder: Path) -> Any:
    """The library's model; fails on missing, unexpected or newly initialised weights."""
    model, info = kind.from_pretrained(folder, output_loading_info=True)
    assert not info["missing_keys"]
    assert not info["unexpected_keys"]
    assert not info["mismatched_keys"]
    return model.eval()

"""What a library's own loader says of a folder."""

from pathlib import Path
from typing import Any


def assert_loads_whole(kind: Any, folder: Path) -> None:
    """A transformers class finds every weight in the folder, and none too many."""
    _, found = kind.from_pretrained(folder, output_loading_info=True)
    assert not {name: value for name, value in found.items() if value}

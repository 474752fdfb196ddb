"""Are the objects of a DVC cache still what their names say? DVC itself does not ask."""

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Damage:
    """A cache object whose content no longer has its hash."""

    object: Path
    output: str


def check_objects(base: Path, wanted: set[tuple[str, str]]) -> Iterator[Damage]:
    """Re-hashes objects of a DVC cache and yields those whose bytes are not their hash's.

    Args:
        base: the cache's folder of MD5 objects.
        wanted: pairs of hash and output path; absent objects are passed over.
    """
    checked: set[str] = set()
    queue = sorted(wanted)
    while queue:
        value, output = queue.pop()
        path = base / value[:2] / value[2:]
        if value in checked or not path.is_file():
            continue
        checked.add(value)
        if _md5(path) != value.removesuffix(".dir"):
            yield Damage(path, output)
        elif value.endswith(".dir"):
            entries = json.loads(path.read_text(encoding="utf-8"))
            queue += [(entry["md5"], f"{output}/{entry['relpath']}") for entry in entries]


def _md5(path: Path) -> str:
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False))
    return digest.hexdigest()

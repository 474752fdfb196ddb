"""Weights on disk put into shards."""

import json
from pathlib import Path

from tasks.artifacts.files import sha256_of
from tasks.models.shards import split_shards, write_shards
from tasks.models.tensor_files import read_header


def sign(folder: Path) -> None:
    """Enters the weights as they are into config.json."""
    data = json.loads((folder / "config.json").read_text())
    data["sha256"] = {
        str(path.relative_to(folder)): sha256_of(path) for path in folder.rglob("*.safetensors")
    }
    (folder / "config.json").write_text(json.dumps(data))


def shard(folder: Path, max_bytes: int) -> int:
    """Puts the weights of a model folder's backbone into shards; their number."""
    number = shard_checkpoint(folder / "backbone", max_bytes)
    sign(folder)
    return number


def shard_checkpoint(folder: Path, max_bytes: int) -> int:
    """Puts the weights of a checkpoint into shards; their number."""
    whole = folder / "model.safetensors"
    shards = split_shards(read_header(whole), max_bytes)
    write_shards(folder, shards)
    whole.unlink()
    return len(shards)

"""Prunes a checkpoint without ever holding the model: only kept tensors are read and written.

The folder that comes out is again one that the checkpoint's own library reads. A run that was
stopped goes on where it was: a shard gets its name only when it is whole, and a plan beside the
shards, taken away at the end, says which command they are of.
"""

import json
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from tasks.artifacts.files import read_json, write_atomically, write_text
from tasks.errors import CheckpointError
from tasks.models.locate import Located, locate, with_layer_lists
from tasks.models.shards import SHARD_BYTES, bytes_of, split_shards, write_shards
from tasks.models.stacks import Stack, keep_config, keep_tensors, split_keep
from tasks.models.tensor_files import StoredTensor, stored_tensors
from tasks.models.upstream import checkpoint_config

PLAN = ".prune.json"
COMPANIONS = ("*.json", "*.txt", "*.model", "*.py", "LICENSE*")  # tokenizer, the library's own code


@dataclass(frozen=True)
class Pruned:
    """What was read and written.

    Attributes:
        stacks: where the blocks lay, and how many there were.
        keep: by stack the numbers of the kept blocks within it.
        num_tensors: kept, and in the checkpoint.
        num_bytes: the same of their bytes.
        files: the new folder's weights.
    """

    stacks: tuple[Located, ...]
    keep: tuple[tuple[int, ...], ...]
    num_tensors: tuple[int, int]
    num_bytes: tuple[int, int]
    files: tuple[Path, ...]


def prune_checkpoint(
    folder: Path,
    out: Path,
    stacks: Sequence[Stack],
    keep: Sequence[int],
    *,
    max_shard_bytes: int = SHARD_BYTES,
) -> Pruned:
    """Writes the checkpoint without the blocks that are not kept; says what was kept.

    Args:
        folder: config.json and safetensors, in one file or in shards with an index.
        out: a new folder, or one in which the same command was stopped.
        stacks: of the checkpoint's family, relative to its backbone.
        keep: numbers of the kept blocks over all stacks, an encoder's before its decoder's.
        max_shard_bytes: of weights in one file.

    Raises:
        CheckpointError: `folder` is not whole, `out` holds something else, or no space is left.
        MaskError: `keep` names blocks that the checkpoint does not have, or one twice.
    """
    config = checkpoint_config(folder)
    if {"config", "sha256"} <= set(config):
        raise CheckpointError(
            f"{folder}: a model folder of the pipeline; name the checkpoint in it: "
            f"{folder / 'backbone'}"
        )
    tensors = stored_tensors(folder)
    located = locate(stacks, tensors, config, folder)
    numbers = split_keep(keep, [one.size for one in located], str(folder))
    config, kept = with_layer_lists(config, located), tensors
    for one, inside in zip(located, numbers, strict=True):
        config = keep_config(config, one.stack, inside)
        kept = keep_tensors(kept, one.stack, inside)
    shards = split_shards(kept, max_shard_bytes)
    _open_folder(out, _plan(folder, tensors, keep, max_shard_bytes))
    write_shards(out, shards)
    for path in _companions(folder):
        write_atomically(out / path.name, partial(_copy_file, path))
    write_text(out / "config.json", json.dumps(config, indent=2) + "\n")
    (out / PLAN).unlink()
    return Pruned(
        stacks=tuple(located),
        keep=tuple(numbers),
        num_tensors=(len(kept), len(tensors)),
        num_bytes=(bytes_of(kept), bytes_of(tensors)),
        files=tuple(out / name for name in shards),
    )


def _copy_file(source: Path, target: Path) -> None:
    shutil.copyfile(source, target)


def _plan(
    folder: Path, tensors: Mapping[str, StoredTensor], keep: Sequence[int], max_shard_bytes: int
) -> dict[str, Any]:
    """What has to be the same for shards of a stopped run to be taken as they are."""
    files = sorted({one.path for one in tensors.values()})
    return {
        "checkpoint": str(folder.resolve()),
        "files": {path.name: [path.stat().st_size, path.stat().st_mtime_ns] for path in files},
        "keep": sorted(keep),
        "max_shard_bytes": max_shard_bytes,
    }


def _open_folder(out: Path, plan: Mapping[str, Any]) -> None:
    out.mkdir(parents=True, exist_ok=True)
    path = out / PLAN
    torn = list(out.glob(".*.tmp"))  # of a run that was killed
    if path.is_file():
        if read_json(path) != plan:
            raise CheckpointError(
                f"{out}: holds an unfinished prune of another checkpoint or other blocks; delete "
                "it or name a new folder"
            )
    elif len(list(out.iterdir())) > len(torn):
        raise CheckpointError(f"{out}: holds files already; delete it or name a new folder")
    for temporary in torn:
        temporary.unlink()
    write_text(path, json.dumps(plan, indent=1) + "\n")


def _companions(folder: Path) -> list[Path]:
    """Small files that go with a checkpoint whatever its blocks; the model card does not."""
    found = {path for pattern in COMPANIONS for path in folder.glob(pattern)}
    return sorted(
        path
        for path in found
        if path.is_file()
        and path.name != "config.json"
        and not path.name.endswith(".index.json")
        and not path.name.startswith(".")
    )

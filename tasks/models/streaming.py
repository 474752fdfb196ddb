"""Prunes a checkpoint without ever holding the model: only kept tensors are read and written.

The folder that comes out is again one that the checkpoint's own library reads, or of a model folder
one that `load_model` reads. A run that was stopped goes on where it was: a shard gets its name only
when it is whole, and a plan in the new folder, taken away at the end, says which command it is of.
"""

import json
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch

from tasks.artifacts.files import read_json, write_atomically, write_text
from tasks.errors import CheckpointError, MaskError
from tasks.models.checkpoint import BACKBONE, WEIGHTS, check_hash, read_config, write_config
from tasks.models.families import family_class
from tasks.models.locate import Located, is_model_folder, locate, with_layer_lists
from tasks.models.registry import validated
from tasks.models.shards import SHARD_BYTES, Shards, bytes_of, split_shards, write_shards
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
    if is_model_folder(folder):
        raise CheckpointError(
            f"{folder}: a model folder of the pipeline; prune it by `prune_model`, or name the "
            f"checkpoint in it: {folder / BACKBONE}"
        )
    smaller = _without_others(folder, stacks, keep, max_shard_bytes)
    _open_folder(out, _plan(folder, smaller, keep, max_shard_bytes))
    _write_checkpoint(folder, out, smaller)
    (out / PLAN).unlink()
    return smaller.pruned(out)


def prune_model(
    folder: Path, out: Path, keep: Sequence[int], *, max_shard_bytes: int = SHARD_BYTES
) -> Pruned:
    """`prune_checkpoint` for a model folder of the pipeline; the new one is a model folder, too.

    Its weights are read once as a whole before, to compare them with the hashes in config.json.

    Args:
        folder: what `save` wrote; its backbone may lie in shards.
        out: a new folder, or one in which the same command was stopped.
        keep: as `prune_checkpoint`.
        max_shard_bytes: as `prune_checkpoint`.

    Raises:
        CheckpointError: as `prune_checkpoint`, or a file was altered.
        MaskError: as `prune_checkpoint`, or the model's blocks were taken apart into sublayers.
    """
    data, hashes = read_config(folder)
    if "granularity" in data:
        raise MaskError(
            f"{folder}: its blocks are taken apart into sublayers; name a model of whole blocks"
        )
    kind = family_class(str(data.get("family")))
    with torch.device("meta"):
        model = kind(validated(kind, data, folder))
    smaller = _without_others(folder / BACKBONE, model.stacks, keep, max_shard_bytes)
    config = model.config_of(keep).model_dump(mode="json")
    for name, expected in hashes.items():
        check_hash(folder / name, expected)
    _open_folder(out, _plan(folder, smaller, keep, max_shard_bytes))
    _write_checkpoint(folder / BACKBONE, out / BACKBONE, smaller)
    write_atomically(out / WEIGHTS, partial(_copy_file, folder / WEIGHTS))
    write_config(out, config, [WEIGHTS, *(f"{BACKBONE}/{name}" for name in smaller.shards)])
    (out / PLAN).unlink()
    return smaller.pruned(out / BACKBONE)


@dataclass(frozen=True)
class _Smaller:
    """A checkpoint without some of its blocks, before anything is written."""

    located: list[Located]
    keep: list[tuple[int, ...]]
    config: dict[str, Any]
    tensors: Mapping[str, StoredTensor]  # of the whole checkpoint
    shards: Shards

    def pruned(self, out: Path) -> Pruned:
        """What was read and, to `out`, written."""
        kept = [one for shard in self.shards.values() for one in shard.items()]
        return Pruned(
            stacks=tuple(self.located),
            keep=tuple(self.keep),
            num_tensors=(len(kept), len(self.tensors)),
            num_bytes=(bytes_of(dict(kept)), bytes_of(self.tensors)),
            files=tuple(out / name for name in self.shards),
        )


def _without_others(
    folder: Path, stacks: Sequence[Stack], keep: Sequence[int], max_shard_bytes: int
) -> _Smaller:
    config, tensors = checkpoint_config(folder), stored_tensors(folder)
    located = locate(stacks, tensors, config, folder)
    numbers = split_keep(keep, [one.size for one in located], str(folder))
    config, kept = with_layer_lists(config, located), tensors
    for one, inside in zip(located, numbers, strict=True):
        config = keep_config(config, one.stack, inside)
        kept = keep_tensors(kept, one.stack, inside)
    return _Smaller(located, numbers, config, tensors, split_shards(kept, max_shard_bytes))


def _write_checkpoint(folder: Path, out: Path, smaller: _Smaller) -> None:
    out.mkdir(exist_ok=True)
    write_shards(out, smaller.shards)
    for path in _companions(folder):
        write_atomically(out / path.name, partial(_copy_file, path))
    write_text(out / "config.json", json.dumps(smaller.config, indent=2) + "\n")


def _copy_file(source: Path, target: Path) -> None:
    shutil.copyfile(source, target)


def _plan(
    folder: Path, smaller: _Smaller, keep: Sequence[int], max_shard_bytes: int
) -> dict[str, Any]:
    """What has to be the same for shards of a stopped run to be taken as they are."""
    files = sorted({one.path for one in smaller.tensors.values()})
    return {
        "checkpoint": str(folder.resolve()),
        "files": {path.name: [path.stat().st_size, path.stat().st_mtime_ns] for path in files},
        "keep": sorted(keep),
        "max_shard_bytes": max_shard_bytes,
    }


def _open_folder(out: Path, plan: Mapping[str, Any]) -> None:
    out.mkdir(parents=True, exist_ok=True)
    path = out / PLAN
    torn = list(out.rglob(".*.tmp"))  # of a run that was killed
    if path.is_file():
        if read_json(path) != plan:
            raise CheckpointError(
                f"{out}: holds an unfinished prune of another checkpoint or other blocks; delete "
                "it or name a new folder"
            )
    elif set(out.iterdir()) - set(torn):
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

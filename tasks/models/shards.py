"""Weights in one safetensors file or in shards with an index, as transformers lays them out."""

import json
import math
import shutil
from collections.abc import Mapping
from functools import partial
from pathlib import Path

from tasks.artifacts.files import link_or_copy, write_atomically, write_text
from tasks.errors import CheckpointError
from tasks.models.tensor_files import StoredTensor, header_of, read_header, write_tensors
from tasks.models.upstream import INDEX, checkpoint_files

WEIGHTS = "model.safetensors"
SHARD_BYTES = 5 * 10**9  # above that the Hub's tools expect shards
SPARE_BYTES = 16 * 2**20  # free space wanted beyond the weights

Shards = Mapping[str, Mapping[str, StoredTensor]]


def bytes_of(tensors: Mapping[str, StoredTensor]) -> int:
    """Size of all these tensors."""
    return sum(one.num_bytes for one in tensors.values())


def split_shards(tensors: Mapping[str, StoredTensor], max_bytes: int = SHARD_BYTES) -> Shards:
    """The tensors by file name, in their order, each file as full as `max_bytes` allows.

    A tensor larger than that is alone in its file. So huggingface_hub shares them out, too.
    """
    shards: list[dict[str, StoredTensor]] = []
    current: dict[str, StoredTensor] = {}
    size = 0
    for name, one in tensors.items():
        if one.num_bytes > max_bytes:
            shards.append({name: one})
            continue
        if size + one.num_bytes > max_bytes:
            shards.append(current)
            current, size = {}, 0
        current[name] = one
        size += one.num_bytes
    shards += [current] if current else []
    if len(shards) == 1:
        return {WEIGHTS: shards[0]}
    stem = WEIGHTS.removesuffix(".safetensors")
    return {
        f"{stem}-{number:05d}-of-{len(shards):05d}.safetensors": shard
        for number, shard in enumerate(shards, start=1)
    }


def write_shards(folder: Path, shards: Shards) -> None:
    """Writes the files that do not stand whole already, and the index where they are several.

    Raises:
        CheckpointError: no space is left.
    """
    missing = {name: shard for name, shard in shards.items() if not _stands(folder / name, shard)}
    needed = sum(bytes_of(shard) for shard in missing.values())
    free = shutil.disk_usage(folder).free
    if missing and needed + SPARE_BYTES > free:
        raise CheckpointError(
            f"{folder}: no space left: {needed / 1e9:.2f} GB are needed, {free / 1e9:.2f} GB free; "
            "make room or name a folder on another disk"
        )
    for name, shard in missing.items():
        write_atomically(folder / name, partial(write_tensors, shard))
    if len(shards) > 1:
        write_text(folder / INDEX, _index_of(shards))


def _stands(path: Path, shard: Mapping[str, StoredTensor]) -> bool:
    header, _ = header_of(shard)
    if not path.is_file() or path.stat().st_size != len(header) + bytes_of(shard):
        return False
    with path.open("rb") as file:
        return file.read(len(header)) == header


def _index_of(shards: Shards) -> str:
    everything = [one for shard in shards.values() for one in shard.values()]
    index = {
        "metadata": {
            "total_parameters": sum(math.prod(one.shape) for one in everything),
            "total_size": sum(one.num_bytes for one in everything),
        },
        "weight_map": {key: name for name, shard in shards.items() for key in shard},
    }
    return json.dumps(index, indent=2, sort_keys=True) + "\n"


def copy_weights(source: Path, folder: Path, *, limit: int = SHARD_BYTES) -> None:
    """Copies a checkpoint's weights; one file larger than the limit becomes shards and an index.

    Args:
        source: folder of the checkpoint.
        folder: where to write.
        limit: bytes of one shard; a single tensor may be larger.

    Raises:
        CheckpointError: the checkpoint has no weights, or its index names a missing file.
    """
    folder.mkdir(parents=True, exist_ok=True)
    files = checkpoint_files(source)
    if len(files) == 1 and files[0].stat().st_size > limit:
        write_shards(folder, split_shards(read_header(files[0]), limit))
        return
    for path in files:
        name = WEIGHTS if len(files) == 1 else path.name
        link_or_copy(str(path), str(folder / name))
    if len(files) > 1:
        link_or_copy(str(source / INDEX), str(folder / INDEX))

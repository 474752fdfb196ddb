"""Weights copied into the form of the Hub: one file, or shards with an index where it is large.

One shard is in memory at a time.
"""

import json
import math
from functools import partial
from pathlib import Path
from typing import Any

from safetensors import safe_open
from safetensors.torch import save_file

from tasks.artifacts.files import link_or_copy, write_atomically, write_text
from tasks.models.checkpoint import METADATA, WEIGHTS
from tasks.models.upstream import INDEX, checkpoint_files

MAX_SHARD_BYTES = 5_000_000_000  # as the Hub's own libraries cut
BITS = {"F64": 64, "I64": 64, "F32": 32, "I32": 32, "F16": 16, "BF16": 16, "I16": 16}  # else 8


def copy_weights(source: Path, folder: Path, *, limit: int = MAX_SHARD_BYTES) -> None:
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
        _cut(files[0], folder, limit)
        return
    for path in files:
        name = WEIGHTS if len(files) == 1 else path.name
        link_or_copy(str(path), str(folder / name))
    if len(files) > 1:
        link_or_copy(str(source / INDEX), str(folder / INDEX))


def _cut(path: Path, folder: Path, limit: int) -> None:
    with safe_open(path, framework="pt") as file:
        sizes = {name: _bytes_of(file.get_slice(name)) for name in file.keys()}  # noqa: SIM118
        shards: list[list[str]] = [[]]
        for name, size in sizes.items():
            if shards[-1] and sum(sizes[other] for other in shards[-1]) + size > limit:
                shards.append([])
            shards[-1].append(name)
        places: dict[str, str] = {}
        for number, names in enumerate(shards, start=1):
            shard = f"model-{number:05d}-of-{len(shards):05d}.safetensors"
            tensors = {name: file.get_tensor(name) for name in names}
            write_atomically(folder / shard, partial(save_file, tensors, metadata=METADATA))
            places |= dict.fromkeys(names, shard)
    index = {"metadata": {"total_size": sum(sizes.values())}, "weight_map": places}
    write_text(folder / INDEX, json.dumps(index, indent=1) + "\n")


def _bytes_of(tensor: Any) -> int:
    shape: list[int] = tensor.get_shape()
    return math.prod(shape) * BITS.get(str(tensor.get_dtype()), 8) // 8

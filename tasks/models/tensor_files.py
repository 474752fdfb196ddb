"""Safetensors files tensor by tensor: where each lies, and files made of others' tensors.

A file is 8 bytes with the length of its header (little-endian), the header (JSON: by name the
dtype, the shape and the place of the bytes), then the bytes. Nothing here holds more than one
tensor in memory, and no file is mapped, so its pages are not counted as the process's either.
"""

import errno
import json
import math
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import torch
from jaxtyping import Shaped
from torch import Tensor

from tasks.errors import CheckpointError
from tasks.models.upstream import INDEX, checkpoint_files

METADATA = {"format": "pt"}
DTYPES = {  # in the order in which safetensors' own writer lays tensors out, last first
    "BOOL": torch.bool,
    "U8": torch.uint8,
    "I8": torch.int8,
    "F8_E5M2": torch.float8_e5m2,
    "F8_E4M3": torch.float8_e4m3fn,
    "F8_E8M0": torch.float8_e8m0fnu,
    "I16": torch.int16,
    "U16": torch.uint16,
    "F16": torch.float16,
    "BF16": torch.bfloat16,
    "I32": torch.int32,
    "U32": torch.uint32,
    "F32": torch.float32,
    "C64": torch.complex64,
    "F64": torch.float64,
    "I64": torch.int64,
    "U64": torch.uint64,
}
RANKS = {name: rank for rank, name in enumerate(DTYPES)}
LONGEST_HEADER = 100_000_000  # bytes, as safetensors
CHUNK = 8 * 2**20  # bytes copied at once
NO_RANGE_COPY = {errno.EXDEV, errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP, errno.EPERM}


@dataclass(frozen=True)
class StoredTensor:
    """Where a tensor lies.

    Attributes:
        path: the file.
        dtype: its name in safetensors.
        shape: of the tensor.
        start: of its bytes in the file.
        num_bytes: their number.
    """

    path: Path
    dtype: str
    shape: tuple[int, ...]
    start: int
    num_bytes: int


def read_header(path: Path) -> dict[str, StoredTensor]:
    """The tensors of a safetensors file by name, in the order of their bytes.

    Raises:
        CheckpointError: it is not whole: too short for its header or its tensors, or malformed.
    """
    size = path.stat().st_size
    try:
        with path.open("rb") as file:
            length = int.from_bytes(file.read(8), "little")
            if length > min(LONGEST_HEADER, size - 8):
                raise ValueError(f"a header of {length} bytes in a file of {size}")
            entries: dict[str, Any] = json.loads(file.read(length))
        entries.pop("__metadata__", None)
        found = {name: _stored(path, entry, 8 + length) for name, entry in entries.items()}
        for name, one in found.items():
            if one.start + one.num_bytes > size:
                raise ValueError(f"{name} ends at byte {one.start + one.num_bytes} of {size}")
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise CheckpointError(
            f"{path}: not a whole safetensors file ({error}); fetch it anew"
        ) from error
    return dict(sorted(found.items(), key=lambda item: item[1].start))


def _stored(path: Path, entry: Mapping[str, Any], data: int) -> StoredTensor:
    shape = tuple(int(size) for size in entry["shape"])
    start, end = (int(place) for place in entry["data_offsets"])
    dtype = str(entry["dtype"])
    if dtype not in DTYPES:
        raise ValueError(f"dtype {dtype}")
    if start < 0 or min(shape, default=0) < 0:
        raise ValueError(f"place {start}, shape {shape}")
    if end - start != math.prod(shape) * DTYPES[dtype].itemsize:
        raise ValueError(f"{end - start} bytes of {dtype} for shape {shape}")
    return StoredTensor(path, dtype, shape, data + start, end - start)


def stored_tensors(folder: Path) -> dict[str, StoredTensor]:
    """All tensors of a checkpoint by name, in the order of its shards; only headers are read.

    Raises:
        CheckpointError: a shard is missing or not whole, does not hold what the index says, or two
            hold the same name.
    """
    tensors: dict[str, StoredTensor] = {}
    for path in checkpoint_files(folder):
        for name, one in read_header(path).items():
            if name in tensors:
                first = tensors[name].path.name
                raise CheckpointError(
                    f"{folder}: {first} and {path.name} both hold {name}; keep one of the files"
                )
            tensors[name] = one
    index = folder / INDEX
    if index.is_file():
        for name, shard in json.loads(index.read_text(encoding="utf-8"))["weight_map"].items():
            if name not in tensors or tensors[name].path.name != shard:
                raise CheckpointError(f"{index}: {shard} does not hold {name}; fetch it anew")
    return tensors


def read_tensor(stored: StoredTensor) -> Tensor:
    """The tensor, in the precision in which it is stored, as memory of its own."""
    tensor = torch.empty(stored.shape, dtype=DTYPES[stored.dtype])
    read_into(stored, tensor)
    return tensor


def read_into(stored: StoredTensor, target: Shaped[Tensor, "..."]) -> None:
    """Fills a contiguous tensor of the same shape, in its own precision, piece by piece.

    Raises:
        CheckpointError: the file ended within the tensor.
    """
    dtype, flat = DTYPES[stored.dtype], target.view(-1)
    piece = torch.empty(min(CHUNK, stored.num_bytes), dtype=torch.uint8)
    with stored.path.open("rb", buffering=0) as file:
        file.seek(stored.start)
        for first in range(0, stored.num_bytes, CHUNK):
            part = piece[: stored.num_bytes - first]
            _fill(file, part.numpy().data, stored.path)
            values = part.view(dtype)
            start = first // dtype.itemsize
            flat[start : start + len(values)] = values


def _fill(file: BinaryIO, view: memoryview, path: Path) -> None:
    while view:
        count = file.readinto(view)  # type: ignore[attr-defined]
        if not count:
            raise CheckpointError(f"{path}: ends within a tensor; fetch it anew")
        view = view[count:]


def header_of(tensors: Mapping[str, StoredTensor]) -> tuple[bytes, list[StoredTensor]]:
    """The first bytes of a file of these tensors, and the tensors in the order of their bytes.

    Both as safetensors' own writer has them: wide dtypes first, then by name.
    """
    ordered = sorted(tensors.items(), key=lambda item: (-RANKS[item[1].dtype], item[0]))
    entries: dict[str, Any] = {"__metadata__": METADATA}
    end = 0
    for name, one in ordered:
        start, end = end, end + one.num_bytes
        entries[name] = {"dtype": one.dtype, "shape": one.shape, "data_offsets": (start, end)}
    header = json.dumps(entries, separators=(",", ":"), ensure_ascii=False).encode()
    header += b" " * (-len(header) % 8)
    return len(header).to_bytes(8, "little") + header, [one for _, one in ordered]


def write_tensors(tensors: Mapping[str, StoredTensor], path: Path) -> None:
    """Writes a safetensors file of tensors that lie in other files, byte for byte.

    Raises:
        CheckpointError: no space is left, or a file ended within a tensor.
    """
    header, ordered = header_of(tensors)
    try:
        with path.open("wb", buffering=0) as target:
            _write_all(target, header)
            for source, stored in _opened(ordered):
                _copy(source, stored, target)
    except OSError as error:
        if error.errno not in {errno.ENOSPC, errno.EDQUOT}:
            raise
        raise CheckpointError(
            f"{path.parent}: no space left on the device; make room and run it again"
        ) from error


def _opened(stored: list[StoredTensor]) -> Iterator[tuple[BinaryIO, StoredTensor]]:
    """Every tensor with its file, opened anew only where the file changes."""
    file: BinaryIO | None = None
    try:
        for one in stored:
            if file is None or file.name != str(one.path):
                if file is not None:
                    file.close()
                file = open(one.path, "rb", buffering=0)  # noqa: PTH123, SIM115
            yield file, one
    finally:
        if file is not None:
            file.close()


def _write_all(target: BinaryIO, data: bytes) -> None:
    left = memoryview(data)
    while left:
        left = left[target.write(left) :]


def _copy(source: BinaryIO, stored: StoredTensor, target: BinaryIO) -> None:
    """Appends a tensor's bytes, inside the kernel where the file systems can do that."""
    place, left = stored.start, stored.num_bytes
    try:
        while left:
            count = os.copy_file_range(source.fileno(), target.fileno(), min(CHUNK, left), place)
            if not count:
                break
            place, left = place + count, left - count
    except OSError as error:
        if error.errno not in NO_RANGE_COPY:
            raise
    source.seek(place)
    while left:
        piece = source.read(min(CHUNK, left))
        if not piece:
            raise CheckpointError(f"{stored.path}: ends within a tensor; fetch it anew")
        _write_all(target, piece)
        left -= len(piece)

"""Safetensors files tensor by tensor, against safetensors itself."""

import errno
import json
import os
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from tasks.errors import CheckpointError
from tasks.models.tensor_files import (
    DTYPES,
    read_header,
    read_tensor,
    stored_tensors,
    write_tensors,
)


def tensors() -> dict[str, torch.Tensor]:
    """One of every dtype, a scalar, an empty one, and names that sort and quote badly."""
    generator = torch.Generator().manual_seed(0)
    every = {
        f"of.{name}": torch.randint(0, 2, (3, 5), generator=generator).to(dtype)
        for name, dtype in DTYPES.items()
    }
    return every | {
        "scalar": torch.tensor(3.5),
        "empty": torch.zeros(0, 4),
        'b"ö': torch.randn(7, generator=generator),
        "layers.10.w": torch.randn(2, 2, generator=generator),
        "layers.9.w": torch.randn(2, 2, generator=generator),
    }


@pytest.fixture
def file(tmp_path: Path) -> Path:
    save_file(tensors(), tmp_path / "model.safetensors", metadata={"format": "pt"})
    return tmp_path / "model.safetensors"


def test_a_header_tells_what_safetensors_tells(file):
    found = read_header(file)
    with safe_open(file, framework="pt") as whole:
        assert set(found) == set(whole.keys())
        for name, one in found.items():
            assert list(one.shape) == whole.get_slice(name).get_shape()
    assert [one.start for one in found.values()] == sorted(one.start for one in found.values())


def test_a_tensor_is_read_as_it_was_saved(file):
    for name, expected in tensors().items():
        found = read_tensor(read_header(file)[name])
        assert found.dtype == expected.dtype
        assert found.shape == expected.shape
        assert torch.equal(
            found.reshape(-1).view(torch.uint8), expected.reshape(-1).view(torch.uint8)
        )


def test_a_written_file_is_that_of_safetensors_byte_for_byte(file, tmp_path):
    write_tensors(read_header(file), tmp_path / "copy")
    assert (tmp_path / "copy").read_bytes() == file.read_bytes()


def test_tensors_of_several_files_are_renamed_into_one(file, tmp_path):
    other = tmp_path / "other.safetensors"
    save_file({"w": torch.full((4,), 2.0)}, other)
    here, there = read_header(file), read_header(other)
    write_tensors({"x": there["w"], "scalar": here["scalar"], "y": there["w"]}, tmp_path / "one")
    found = load_file(tmp_path / "one")
    assert set(found) == {"x", "y", "scalar"}
    assert torch.equal(found["y"], torch.full((4,), 2.0))
    assert float(found["scalar"]) == 3.5


def test_where_the_kernel_cannot_copy_bytes_go_through_memory(file, tmp_path, monkeypatch):
    def refuse(*_arguments: int) -> int:
        raise OSError(errno.EXDEV, "another file system")

    monkeypatch.setattr(os, "copy_file_range", refuse)
    write_tensors(read_header(file), tmp_path / "copy")
    assert (tmp_path / "copy").read_bytes() == file.read_bytes()


def test_a_full_disk_is_one_line(file):
    with pytest.raises(CheckpointError, match=r"/dev: no space left .* make room"):
        write_tensors(read_header(file), Path("/dev/full"))


def broken(header: object, data: bytes = b"12345678") -> bytes:
    """A file with this header."""
    text = json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text + data


ENTRY = {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"abc",
        (2**40).to_bytes(8, "little") + b"{}",
        (4).to_bytes(8, "little") + b"{]}}",
        broken(["w"]),
        broken({"w": 3}),
        broken({"w": ENTRY | {"dtype": "F33"}}),
        broken({"w": ENTRY | {"shape": [3]}}),
        broken({"w": ENTRY | {"shape": [-2]}}),
        broken({"w": ENTRY | {"data_offsets": [-8, 0]}}),
        broken({"w": ENTRY}, b"1234"),
    ],
)
def test_a_file_that_is_not_whole_is_refused(tmp_path, content):
    (tmp_path / "model.safetensors").write_bytes(content)
    with pytest.raises(CheckpointError, match=r"model.safetensors: not a whole safetensors file"):
        stored_tensors(tmp_path)


def test_a_file_cut_after_its_header_was_read_is_refused(file):
    stored = read_header(file)["layers.9.w"]
    os.truncate(file, stored.start + 3)
    with pytest.raises(CheckpointError, match="ends within a tensor"):
        read_tensor(stored)
    with pytest.raises(CheckpointError, match="ends within a tensor"):
        write_tensors({"w": stored}, file.with_name("copy"))


def test_two_files_with_the_same_name_are_refused(file):
    save_file({"scalar": torch.zeros(1)}, file.with_name("other.safetensors"))
    with pytest.raises(CheckpointError, match=r"both hold scalar; keep one of the files"):
        stored_tensors(file.parent)


def test_an_index_that_names_what_a_shard_lacks_is_refused(file):
    index = {"weight_map": {"scalar": file.name, "absent": file.name}}
    file.with_name("model.safetensors.index.json").write_text(json.dumps(index))
    with pytest.raises(CheckpointError, match=r"model.safetensors does not hold absent"):
        stored_tensors(file.parent)

"""Shards and their index, as huggingface_hub lays them out."""

import json
import os
from pathlib import Path

import pytest
import torch
from huggingface_hub import split_torch_state_dict_into_shards
from safetensors.torch import load_file, save_file

from tasks.models.shards import bytes_of, split_shards, write_shards
from tasks.models.tensor_files import StoredTensor, read_header
from tasks.models.upstream import INDEX, checkpoint_tensors

SIZES = (3, 9, 1, 1, 4, 30, 2, 5, 6)  # numbers of fp32 weights


@pytest.fixture
def stored(tmp_path: Path) -> dict[str, StoredTensor]:
    tensors = {f"layers.{n}.w": torch.full((size,), n / 2) for n, size in enumerate(SIZES)}
    save_file(tensors, tmp_path / "whole.safetensors")
    return read_header(tmp_path / "whole.safetensors")


@pytest.mark.parametrize("max_bytes", [1, 20, 40, 60, 130, 10_000])
def test_tensors_are_shared_out_as_the_hub_does(stored, max_bytes):
    state = {name: torch.zeros(one.shape) for name, one in stored.items()}
    expected = split_torch_state_dict_into_shards(state, max_shard_size=max_bytes)
    found = split_shards(stored, max_bytes)
    assert {name: list(shard) for name, shard in found.items()} == expected.filename_to_tensors


def test_the_index_says_where_every_tensor_is(stored, tmp_path):
    out = tmp_path / "out"
    out.mkdir()
    write_shards(out, split_shards(stored, 60))
    index = json.loads((out / INDEX).read_text())
    assert index["metadata"] == {
        "total_parameters": sum(SIZES), "total_size": bytes_of(stored),
    }  # fmt: skip
    assert {name: name in load_file(out / file) for name, file in index["weight_map"].items()} == (
        dict.fromkeys(stored, True)
    )
    whole = load_file(tmp_path / "whole.safetensors")
    assert all(torch.equal(whole[name], one) for name, one in checkpoint_tensors(out).items())


def test_one_file_has_no_index(stored, tmp_path):
    out = tmp_path / "out"
    out.mkdir()
    write_shards(out, split_shards(stored))
    assert [path.name for path in out.iterdir()] == ["model.safetensors"]


def test_only_files_that_do_not_stand_whole_are_written(stored, tmp_path):
    def files() -> dict[str, tuple[int, bytes]]:
        return {
            name: ((tmp_path / name).stat().st_ino, (tmp_path / name).read_bytes())
            for name in shards
        }

    shards = split_shards(stored, 40)
    write_shards(tmp_path, shards)
    before = files()
    first, second, *_ = shards
    os.truncate(tmp_path / first, 70)
    (tmp_path / second).write_bytes(b"?" * (tmp_path / second).stat().st_size)
    write_shards(tmp_path, shards)
    after = files()
    assert [name for name in shards if before[name][0] != after[name][0]] == [first, second]
    assert all(before[name][1] == after[name][1] for name in shards)

"""A checkpoint's weights copied: one file, or shards where it is large."""

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from transformers import GPT2Config, GPT2Model

from tasks.models.shards import copy_weights
from tasks.models.upstream import INDEX, checkpoint_files, checkpoint_tensors


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    torch.manual_seed(0)
    config = GPT2Config(n_embd=16, n_layer=3, n_head=2, vocab_size=11, n_positions=8)
    GPT2Model(config).to(torch.bfloat16).save_pretrained(tmp_path / "checkpoint")
    return tmp_path / "checkpoint"


def test_a_small_file_stays_one(checkpoint: Path, tmp_path: Path) -> None:
    copy_weights(checkpoint, tmp_path / "out")
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["model.safetensors"]


def test_a_large_file_becomes_shards_that_transformers_reads(
    checkpoint: Path, tmp_path: Path
) -> None:
    out, limit = tmp_path / "out", 4000
    copy_weights(checkpoint, out, limit=limit)
    (out / "config.json").write_text((checkpoint / "config.json").read_text())
    shards = checkpoint_files(out)
    assert len(shards) > 2
    for shard in shards:
        tensors = load_file(shard)
        size = sum(tensor.nbytes for tensor in tensors.values())
        assert size <= limit or len(tensors) == 1
    before, after = checkpoint_tensors(checkpoint), checkpoint_tensors(out)
    assert before.keys() == after.keys()
    assert all(torch.equal(before[name], after[name]) for name in before)
    total = sum(tensor.nbytes for tensor in before.values())
    assert json.loads((out / INDEX).read_text())["metadata"]["total_size"] == total
    model, info = GPT2Model.from_pretrained(out, output_loading_info=True)
    assert not any(info.values())
    assert torch.equal(model.wpe.weight, before["wpe.weight"])


def test_shards_are_copied_as_they_are(checkpoint: Path, tmp_path: Path) -> None:
    copy_weights(checkpoint, tmp_path / "one", limit=4000)
    copy_weights(tmp_path / "one", tmp_path / "two", limit=4000)
    names = {path.name for path in (tmp_path / "one").iterdir()}
    assert {path.name for path in (tmp_path / "two").iterdir()} == names

"""A native model of which one block at a time is in memory."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from tasks.errors import CheckpointError
from tasks.models.block_by_block import open_block_by_block
from tasks.models.sublayers import split_blocks
from tests.tasks.models.sharding import shard, sign
from tests.tiny import tiny_model


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    tiny_model("qwen3").save(tmp_path / "model")
    return tmp_path / "model"


def change(folder: Path, **tensors: torch.Tensor | None) -> None:
    """Replaces tensors of the backbone, `__` standing for a dot; None takes one away."""
    path = folder / "backbone/model.safetensors"
    found = load_file(path)
    for name, tensor in tensors.items():
        if tensor is None:
            del found[name.replace("__", ".")]
        else:
            found[name.replace("__", ".")] = tensor
    save_file(found, path)
    sign(folder)


@pytest.mark.parametrize("backbone", ["gpt2", "qwen3", "llama"])
def test_a_block_has_its_weights_inside_the_context_only(backbone, tmp_path):
    model = tiny_model(backbone)
    model.to(torch.bfloat16).save(tmp_path)
    assert shard(tmp_path, 5_000) > 3
    opened = open_block_by_block(tmp_path)
    assert all(parameter.is_meta for parameter in opened.model.all_blocks()[2].parameters())
    for number, expected in enumerate(model.all_blocks()):
        with opened.block(number) as block:
            for name, tensor in expected.state_dict().items():
                assert torch.equal(block.state_dict()[name], tensor.float())
            memory = [
                any(not p.is_meta for p in one.parameters()) for one in opened.model.all_blocks()
            ]
            assert memory == [place == number for place in range(5)]
    assert not any(not p.is_meta for one in opened.model.all_blocks() for p in one.parameters())


def test_the_token_embedding_is_never_read(folder):
    change(folder, embed_tokens__weight=torch.full((1000, 16), float("nan")))
    opened = open_block_by_block(folder)
    assert len(opened.model.backbone.embed_tokens.weight) == 1


def test_the_global_generator_is_left_alone(folder):
    before = torch.random.get_rng_state()
    open_block_by_block(folder)
    assert torch.equal(torch.random.get_rng_state(), before)


def test_altered_weights_are_refused(folder):
    path = folder / "backbone/model.safetensors"
    found = load_file(path)
    save_file(found | {"norm.weight": found["norm.weight"] + 1}, path)
    with pytest.raises(CheckpointError, match=r"the weights were altered"):
        open_block_by_block(folder)


@pytest.mark.parametrize("name", ["model.safetensors", "backbone/model.safetensors"])
def test_missing_weights_are_named(name, folder):
    (folder / name).unlink()
    with pytest.raises(CheckpointError, match=f"{name}: missing; run its stage again"):
        open_block_by_block(folder)


def test_a_weight_that_is_not_finite_is_refused_when_its_block_is_read(folder):
    change(folder, layers__3__mlp__up_proj__weight=torch.full((40, 16), torch.inf))
    opened = open_block_by_block(folder)
    with opened.block(2):
        pass
    with pytest.raises(CheckpointError, match=r"up_proj.weight holds a weight"):
        opened.block(3).__enter__()


def test_weights_that_do_not_fit_are_refused(folder):
    change(folder, layers__3__mlp__up_proj__weight=torch.zeros(2, 2))
    with pytest.raises(CheckpointError, match=r"backbone: weights do not fit config.json: .*up_"):
        open_block_by_block(folder).block(3).__enter__()
    change(folder, norm__weight=None)
    with pytest.raises(CheckpointError, match=r"model: weights do not fit config.json: .*norm.we"):
        open_block_by_block(folder)


def test_sublayers_and_published_families_are_refused(tmp_path):
    split_blocks(tiny_model()).save(tmp_path / "split")
    with pytest.raises(CheckpointError, match=r"this one is 'tsfm', granularity sublayer; load it"):
        open_block_by_block(tmp_path / "split")
    pytest.importorskip("chronos")
    from tests.tasks.models.zoo.tiny_bolt import tiny

    tiny().save(tmp_path / "bolt")
    with pytest.raises(CheckpointError, match=r"only native models of .* is 'chronos_bolt', gran"):
        open_block_by_block(tmp_path / "bolt")

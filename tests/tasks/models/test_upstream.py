"""Checkpoints as their own libraries write them: whole, in shards, and broken in every way."""

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from tasks.errors import CheckpointError
from tasks.models.build import build_model
from tasks.models.registry import load_model
from tasks.models.upstream import (
    INDEX,
    checkpoint_config,
    checkpoint_files,
    checkpoint_tensors,
    dtype_of,
    load_upstream,
)
from tests.tasks.models.zoo.contract import CONTEXT, HORIZON, windows
from tests.tasks.models.zoo.tiny_bolt import WINDOWS, folder_entry, save_as_library

pytest.importorskip("chronos")

SHARD = "20KB"


def build(folder: Path):
    return build_model(folder_entry(folder), None, WINDOWS, seed=0, pretrained=Path())


def change_weights(folder: Path, change) -> None:
    """Writes the folder's only weights file anew."""
    path = folder / "model.safetensors"
    tensors = load_file(path)
    change(tensors)
    save_file(tensors, path, metadata={"format": "pt"})


def rename_shard(folder: Path, name: object) -> None:
    """Lets the index name another file for one of the shards."""
    data = json.loads((folder / INDEX).read_text())
    data["weight_map"][min(data["weight_map"])] = name
    (folder / INDEX).write_text(json.dumps(data))


@pytest.fixture
def whole(tmp_path):
    save_as_library(tmp_path / "whole")
    return tmp_path / "whole"


@pytest.fixture
def sharded(tmp_path):
    save_as_library(tmp_path / "sharded", max_shard_size=SHARD)
    return tmp_path / "sharded"


def test_a_checkpoint_in_shards_loads_like_the_whole_one(whole, sharded):
    shards = sorted(path.name for path in sharded.glob("*.safetensors"))
    assert len(shards) > 2
    one, one_hash = build(whole)
    many, many_hashes = build(sharded)
    assert list(one_hash) == ["model.safetensors"]
    assert sorted(many_hashes) == shards
    assert one.state_dict().keys() == many.state_dict().keys()
    for name, tensor in one.state_dict().items():
        assert torch.equal(many.state_dict()[name], tensor), name


def test_files_that_the_index_does_not_name_are_left_alone(sharded):
    expected = checkpoint_files(sharded)
    save_file({"other": torch.zeros(1)}, sharded / "adapter.safetensors")
    assert checkpoint_files(sharded) == expected
    assert "other" not in checkpoint_tensors(sharded)


def test_the_forecasts_are_the_librarys(tmp_path):
    module = save_as_library(tmp_path)
    model, context = build(tmp_path)[0].eval(), windows()[:, :CONTEXT]
    with torch.no_grad():
        expected = module(context=context).quantile_preds[:, 4, :HORIZON]
        assert torch.equal(model.forecast(context, HORIZON).mean, expected)


@pytest.mark.parametrize("max_shard_size", ["1GB", SHARD])
def test_a_bf16_checkpoint_stays_bf16_and_is_computed_with_in_fp32(tmp_path, max_shard_size):
    module = save_as_library(tmp_path / "c", torch.bfloat16, max_shard_size=max_shard_size)
    model, _ = build(tmp_path / "c")
    assert model.config.dtype == "bfloat16"
    assert {parameter.dtype for parameter in model.parameters()} == {torch.float32}
    for kept, name in ((range(5), "whole"), ([0, 2, 4], "pruned")):
        model.with_blocks(kept).save(tmp_path / name)
        stored = load_file(tmp_path / name / "backbone/model.safetensors")
        assert {tensor.dtype for tensor in stored.values()} == {torch.bfloat16}
    for key, tensor in load_file(tmp_path / "whole/backbone/model.safetensors").items():
        assert torch.equal(tensor, module.state_dict()[key]), key
    assert load_model(tmp_path / "pruned").config.dtype == "bfloat16"


def test_the_precision_is_that_of_most_weights():
    few, many = torch.zeros(2), torch.zeros(9, dtype=torch.float16)
    assert dtype_of({"a": few, "b": many}) == "float16"
    assert dtype_of({"a": few, "ids": torch.zeros(99, dtype=torch.int64)}) == "float32"


def only_pickles(folder: Path) -> None:
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")


def cut_short(folder: Path) -> None:
    path = folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-100])


def spoil_a_weight(folder: Path) -> None:
    change_weights(folder, lambda tensors: tensors["shared.weight"].fill_(float("inf")))


def drop_a_weight(folder: Path) -> None:
    change_weights(folder, lambda tensors: tensors.pop("encoder.final_layer_norm.weight"))


def add_a_weight(folder: Path) -> None:
    change_weights(folder, lambda tensors: tensors.update({"adapter.weight": torch.zeros(2)}))


def reshape_a_weight(folder: Path) -> None:
    change_weights(folder, lambda tensors: tensors.update({"shared.weight": torch.zeros(3, 32)}))


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda f: (f / "config.json").unlink(), r"no config\.json there; name a checkpoint's"),
        (lambda f: (f / "config.json").write_text("[1]"), "must hold an object; got list"),
        (lambda f: (f / "config.json").write_text("{"), r"config\.json: not valid JSON"),
        (only_pickles, r"holds no \*\.safetensors; other formats can run code"),
        (cut_short, r"model\.safetensors: not a whole safetensors file .*; fetch it anew"),
        (spoil_a_weight, r"tensor shared\.weight holds a weight that is not finite"),
        (
            drop_a_weight,
            r"not a whole chronos_bolt checkpoint: .*Missing key.*encoder\.final_layer_norm",
        ),
        (
            add_a_weight,
            r"not a whole chronos_bolt checkpoint: .*Unexpected key.*adapter\.weight",
        ),
        (reshape_a_weight, "not a whole chronos_bolt checkpoint: .*size mismatch for shared"),
    ],
)
def test_broken_checkpoints_are_refused_in_one_line(whole, spoil, message):
    spoil(whole)
    with pytest.raises(CheckpointError, match=message) as caught:
        build(whole)
    assert "\n" not in str(caught.value)
    assert str(whole) in str(caught.value)


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda f: rename_shard(f, "none.safetensors"), "names 'none.safetensors', which is not"),
        (lambda f: rename_shard(f, "../whole/model.safetensors"), "names '../whole/model.safeten"),
        (lambda f: rename_shard(f, "/etc/hosts"), "names '/etc/hosts', which is not in that"),
        (lambda f: rename_shard(f, 7), "names '7', which is not in that folder"),
        (lambda f: min(f.glob("*.safetensors")).unlink(), r"names 'model-00001-of-\d+\.safetens"),
        (lambda f: (f / INDEX).write_text("{}"), "names no shards"),
        (lambda f: (f / INDEX).write_text('{"weight_map": []}'), "names no shards"),
        (lambda f: (f / INDEX).write_text("{"), "not valid JSON"),
    ],
)
def test_broken_indexes_are_refused_in_one_line(whole, sharded, spoil, message):
    spoil(sharded)
    with pytest.raises(CheckpointError, match=message) as caught:
        build(sharded)
    assert "\n" not in str(caught.value)
    assert str(sharded / INDEX) in str(caught.value)


def test_a_tensor_that_no_named_shard_holds_is_missed(sharded):
    data = json.loads((sharded / INDEX).read_text())
    last = max(set(data["weight_map"].values()))
    data["weight_map"] = {k: v for k, v in data["weight_map"].items() if v != last}
    (sharded / INDEX).write_text(json.dumps(data))
    with pytest.raises(CheckpointError, match="Missing key"):
        build(sharded)


def test_tied_weights_may_be_stored_once_under_any_of_their_names(whole):
    model, tensors = build(whole)[0], checkpoint_tensors(whole)
    shared = tensors.pop("shared.weight")
    load_upstream(model, tensors | {"encoder.embed_tokens.weight": shared + 1}, whole)
    assert torch.equal(model.backbone.shared.weight, shared + 1)
    assert model.backbone.encoder.embed_tokens.weight is model.backbone.shared.weight


def test_tied_weights_that_differ_are_refused(whole):
    model, tensors = build(whole)[0], checkpoint_tensors(whole)
    tensors["encoder.embed_tokens.weight"] = tensors["shared.weight"] + 1
    with pytest.raises(
        CheckpointError,
        match=r"encoder\.embed_tokens\.weight and shared\.weight are one weight .* but differ",
    ):
        load_upstream(model, tensors, whole)


def test_a_config_is_read_as_it_stands(whole):
    assert checkpoint_config(whole)["chronos_config"]["prediction_length"] == 32

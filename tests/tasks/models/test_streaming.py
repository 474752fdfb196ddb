"""A checkpoint pruned tensor by tensor is the one that its own library would make."""

import json
import shutil
import signal
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import nn
from transformers import (
    AutoModelForCausalLM,
    PreTrainedModel,
)

from tasks.errors import CheckpointError, MaskError
from tasks.models.locate import family_of, stacks_of
from tasks.models.streaming import PLAN, Pruned, prune_checkpoint
from tasks.models.upstream import INDEX, checkpoint_tensors
from tests.tasks.models.language_models import CONFIGS, KEEPS, save, until_killed
from tests.tiny import tiny_model


def load(folder: Path) -> PreTrainedModel:
    """What transformers makes of a folder; nothing may be missing or left over."""
    model, info = AutoModelForCausalLM.from_pretrained(folder, output_loading_info=True)
    assert not any(info[what] for what in ("missing_keys", "unexpected_keys", "mismatched_keys"))
    return model.eval()


def prune(folder: Path, out: Path, keep: tuple[int, ...], **options: int) -> Pruned:
    """With the family that config.json tells."""
    config = json.loads((folder / "config.json").read_text())
    return prune_checkpoint(folder, out, stacks_of(family_of(config, folder)), keep, **options)


def without_others(model: PreTrainedModel, keep: tuple[int, ...]) -> PreTrainedModel:
    """The model in memory after its other blocks were taken out, blocks unchanged inside."""
    backbone = model.base_model
    name = "h" if hasattr(backbone, "h") else "layers"
    blocks = getattr(backbone, name)
    setattr(backbone, name, nn.ModuleList(blocks[number] for number in keep))
    kinds = getattr(model.config, "layer_types", None)
    if kinds is not None:
        model.config.layer_types = [kinds[number] for number in keep]
    model.config.num_hidden_layers = len(keep)
    return model


def logits(model: PreTrainedModel) -> torch.Tensor:
    with torch.no_grad():
        return model(torch.arange(24).view(2, 12) % 19, use_cache=False).logits


@pytest.mark.parametrize("keep", KEEPS)
@pytest.mark.parametrize("name", list(CONFIGS))
def test_transformers_reads_the_model_without_the_other_blocks(name, keep, tmp_path):
    whole = save(name, tmp_path / "whole", shard="20KB")
    assert (tmp_path / "whole" / INDEX).is_file()
    pruned = prune(tmp_path / "whole", tmp_path / "out", keep)
    smaller = load(tmp_path / "out")
    assert smaller.config.num_hidden_layers == len(keep)
    assert torch.equal(logits(smaller), logits(without_others(whole, keep)))
    assert pruned.num_bytes[0] == sum(
        t.nbytes for t in checkpoint_tensors(tmp_path / "out").values()
    )
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == [
        "config.json", "generation_config.json", "model.safetensors",
    ]  # fmt: skip


def test_lists_that_the_library_would_derive_from_the_depth_stay_those_of_the_blocks(tmp_path):
    whole = save("qwen3", tmp_path / "whole")
    path = tmp_path / "whole/config.json"
    data = json.loads(path.read_text())
    kinds = data.pop("layer_types")
    assert kinds == ["full_attention"] * 2 + ["sliding_attention"] * 3
    path.write_text(json.dumps(data))
    prune(tmp_path / "whole", tmp_path / "out", (1, 3))
    found = json.loads((tmp_path / "out/config.json").read_text())
    assert found["layer_types"] == ["full_attention", "sliding_attention"]
    assert torch.equal(logits(load(tmp_path / "out")), logits(without_others(whole, (1, 3))))


def test_lists_of_equal_entries_are_not_added(tmp_path):
    data = json.loads(CONFIGS["qwen3"].to_json_string())
    data |= {"use_sliding_window": False, "sliding_window": None}
    del data["layer_types"]
    save("qwen3", tmp_path / "whole")
    (tmp_path / "whole/config.json").write_text(json.dumps(data))
    prune(tmp_path / "whole", tmp_path / "out", (1, 3))
    assert "layer_types" not in json.loads((tmp_path / "out/config.json").read_text())


def test_bfloat16_stays_bfloat16_bit_for_bit(tmp_path):
    save("llama", tmp_path / "whole", dtype=torch.bfloat16)
    prune(tmp_path / "whole", tmp_path / "out", (2, 4))
    before, after = (checkpoint_tensors(tmp_path / name) for name in ("whole", "out"))
    for name, tensor in after.items():
        old = name.replace("layers.1.", "layers.4.").replace("layers.0.", "layers.2.")
        assert tensor.dtype == torch.bfloat16
        assert torch.equal(tensor, before[old])
    assert load(tmp_path / "out").dtype == torch.bfloat16


def test_shards_are_as_large_as_allowed_and_transformers_reads_their_index(tmp_path):
    whole = save("llama", tmp_path / "whole", shard="9KB")
    pruned = prune(tmp_path / "whole", tmp_path / "out", (0, 1, 3), max_shard_bytes=12_000)
    sizes = [sum(t.nbytes for t in load_file(path).values()) for path in pruned.files]
    assert len(sizes) > 2
    assert max(sizes) <= 12_000
    assert pruned.files[0].name == f"model-00001-of-{len(sizes):05d}.safetensors"
    index = json.loads((tmp_path / "out" / INDEX).read_text())
    theirs = json.loads((tmp_path / "whole" / INDEX).read_text())
    assert set(index) == set(theirs)
    assert set(index["metadata"]) == set(theirs["metadata"])
    assert index["metadata"]["total_size"] == sum(sizes)
    smaller = load(tmp_path / "out")
    assert index["metadata"]["total_parameters"] == smaller.num_parameters()
    assert torch.equal(logits(smaller), logits(without_others(whole, (0, 1, 3))))


def test_a_tensor_larger_than_a_shard_is_alone_in_one(tmp_path):
    save("llama", tmp_path / "whole")
    pruned = prune(tmp_path / "whole", tmp_path / "out", (0,), max_shard_bytes=1)
    assert all(len(load_file(path)) == 1 for path in pruned.files)
    load(tmp_path / "out")


def test_a_pruned_checkpoint_can_be_pruned_again(tmp_path):
    whole = save("gpt2", tmp_path / "whole")
    prune(tmp_path / "whole", tmp_path / "one", (0, 2, 3), max_shard_bytes=9_000)
    prune(tmp_path / "one", tmp_path / "two", (1, 2))
    assert torch.equal(logits(load(tmp_path / "two")), logits(without_others(whole, (2, 3))))


@pytest.mark.parametrize("keep", [(0, 1, 2, 3, 4), (1, 2, 4), (2, 3), (1,), (4,)])
def test_chronos_bolt_keeps_its_position_bias_whichever_block_is_first(keep, tmp_path):
    chronos = pytest.importorskip("chronos")
    from tests.tasks.models.zoo.contract import CONTEXT, HORIZON, windows
    from tests.tasks.models.zoo.tiny_bolt import tiny

    model = tiny()
    model.save(tmp_path / "model")
    pruned = prune(tmp_path / "model/backbone", tmp_path / "out", keep)
    assert [one.stack.path for one in pruned.stacks] == ["encoder.block", "decoder.block"]
    smaller = model.with_blocks(keep)
    smaller.save(tmp_path / "smaller")
    assert (tmp_path / "out/model.safetensors").read_bytes() == (
        tmp_path / "smaller/backbone/model.safetensors"
    ).read_bytes()
    pipeline = chronos.BaseChronosPipeline.from_pretrained(tmp_path / "out")
    context = windows()[1:, :CONTEXT]
    _, mean = pipeline.predict_quantiles(context, prediction_length=HORIZON)
    with torch.no_grad():
        torch.testing.assert_close(mean, smaller.forecast(context, HORIZON).mean)


def test_chronos_t5_says_the_depth_of_its_cache_even_where_the_parent_did_not(tmp_path):
    pytest.importorskip("chronos")
    from tests.tasks.models.zoo.test_chronos_t5 import tiny

    tiny().save(tmp_path)
    path = tmp_path / "backbone/config.json"
    data = json.loads(path.read_text())
    path.write_text(json.dumps({k: v for k, v in data.items() if k != "decoder_layers"}))
    prune(tmp_path / "backbone", tmp_path / "out", (2, 3, 4, 5))
    assert json.loads((tmp_path / "out/config.json").read_text())["decoder_layers"] == 3


def test_files_that_go_with_a_checkpoint_go_along_but_not_its_card_or_other_weights(tmp_path):
    save("gpt2", tmp_path / "whole")
    for name in ("tokenizer.json", "merges.txt", "modeling.py", "LICENSE"):
        (tmp_path / "whole" / name).write_text("{}")
    for name in ("README.md", "pytorch_model.bin", "tf.index.json", ".hidden.json"):
        (tmp_path / "whole" / name).write_text("{}")
    prune(tmp_path / "whole", tmp_path / "out", (0,))
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == [
        "LICENSE", "config.json", "generation_config.json", "merges.txt", "model.safetensors",
        "modeling.py", "tokenizer.json",
    ]  # fmt: skip


def test_killed_it_goes_on_where_it_was(tmp_path):
    whole, out = tmp_path / "whole", tmp_path / "out"
    model = save("llama", whole)
    status = until_killed(lambda: prune(whole, out, (0, 2, 4), max_shard_bytes=9_000), 12)
    assert status == -signal.SIGKILL
    done = {path.name: path.stat().st_ino for path in out.glob("*.safetensors")}
    assert done
    assert list(out.glob(".*.tmp"))
    assert not (out / "config.json").exists()
    with pytest.raises(CheckpointError, match="unfinished prune of another checkpoint or other"):
        prune(whole, out, (0, 2, 3), max_shard_bytes=9_000)
    pruned = prune(whole, out, (0, 2, 4), max_shard_bytes=9_000)
    assert len(pruned.files) > len(done)
    assert all((out / name).stat().st_ino == inode for name, inode in done.items())
    assert not list(out.glob(".*"))
    assert torch.equal(logits(load(out)), logits(without_others(model, (0, 2, 4))))


@pytest.mark.parametrize("where", ["out", "."])
def test_a_folder_that_holds_something_else_is_refused(where, tmp_path):
    save("llama", tmp_path)
    out = tmp_path / where
    out.mkdir(exist_ok=True)
    (out / "notes.txt").write_text("mine")
    with pytest.raises(CheckpointError, match="holds files already; delete it or name a new"):
        prune(tmp_path, out, (0,))
    assert (out / "notes.txt").read_text() == "mine"


@pytest.mark.parametrize("keep", [(5,), (-1,), (1, 1)])
def test_blocks_that_are_not_there_are_refused(keep, tmp_path):
    save("llama", tmp_path / "whole")
    with pytest.raises(MaskError, match=r"keep must name distinct blocks 0..4 of .*whole; got"):
        prune(tmp_path / "whole", tmp_path / "out", keep)
    assert not (tmp_path / "out").exists()


def test_a_missing_shard_is_named(tmp_path):
    save("llama", tmp_path / "whole", shard="9KB")
    shard = sorted((tmp_path / "whole").glob("*.safetensors"))[1]
    shard.unlink()
    with pytest.raises(CheckpointError, match=f"names '{shard.name}', which is not in that"):
        prune(tmp_path / "whole", tmp_path / "out", (0,))


def test_too_little_space_is_told_before_anything_is_written(tmp_path, monkeypatch):
    save("llama", tmp_path / "whole")
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda _path: usage._replace(free=17_000_000))
    prune(tmp_path / "whole", tmp_path / "fits", (0,))
    monkeypatch.setattr(shutil, "disk_usage", lambda _path: usage._replace(free=16_777_300))
    with pytest.raises(CheckpointError, match=r"out: no space left: 0.00 GB are needed, 0.02 GB"):
        prune(tmp_path / "whole", tmp_path / "out", (0,))
    assert [path.name for path in (tmp_path / "out").iterdir()] == [PLAN]


def test_a_model_folder_of_the_pipeline_is_sent_to_its_backbone(tmp_path):
    tiny_model("gpt2").save(tmp_path / "model")
    with pytest.raises(CheckpointError, match=r"name the checkpoint in it: .*model/backbone"):
        prune_checkpoint(tmp_path / "model", tmp_path / "out", stacks_of("gpt2"), (0,))
    prune(tmp_path / "model/backbone", tmp_path / "out", (0, 3))
    assert set(load_file(tmp_path / "out/model.safetensors")) == set(
        tiny_model("gpt2").with_blocks([0, 3]).backbone.state_dict()
    )

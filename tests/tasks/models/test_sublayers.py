"""Sublayers dropped alone: as exact as whole blocks, gone from memory, readable by transformers."""

import json
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from tasks.artifacts.files import sha256_of
from tasks.errors import CheckpointError, MaskError
from tasks.masks.trie import forecasts
from tasks.models.native import NativeModel
from tasks.models.registry import load_in_units, load_model
from tasks.models.sublayers import Place, SublayerModel, places_of, split_blocks
from tasks.scorers.sublayers import silenced
from tasks.training.recipe import Student
from tests.tasks.models.reading import assert_transformers_reads_it
from tests.tiny import CONTEXT, HORIZON, tiny_loop, tiny_model, tiny_windows

BACKBONES = ("gpt2", "qwen3", "llama")
SHAPES = [(b, h) for b in BACKBONES for h in ("per_token", "flatten")] + [("llama", "next_patch")]
KEEPS = [
    (), (0,), (1,), (4,), (5,), (0, 1), (0, 3), (2, 3), (0, 5), (1, 3, 5), (0, 2, 4),
    (1, 2, 4, 5), (1, 2, 3, 4, 5), (0, 1, 2, 3, 4), (0, 1, 2, 3, 4, 5),
]  # fmt: skip


def forecast(model: NativeModel) -> Tensor:
    with torch.no_grad():
        return model.forecast(tiny_windows()[:, :CONTEXT], HORIZON).mean


def silenced_forecast(model: NativeModel, keep: tuple[int, ...]) -> Tensor:
    """The oracle: the whole model, in which the dropped parts of its blocks put out zeros."""
    parts = [part for pair in zip(*model.sublayers().values(), strict=True) for part in pair]
    with ExitStack() as stack:
        for number, part in enumerate(parts):
            if number not in keep:
                stack.enter_context(silenced(part))
        return forecast(model)


@pytest.mark.parametrize(("backbone", "head"), SHAPES)
def test_removal_equals_silence_and_the_walk_bit_for_bit(backbone, head):
    model = tiny_model(backbone, head=head, blocks=3)
    split, context = split_blocks(model), tiny_windows()[:, :CONTEXT]
    walked = dict(forecasts(split, KEEPS, context, HORIZON))
    for place, keep in enumerate(KEEPS):
        expected = silenced_forecast(model, keep)
        with split.only(keep):
            assert torch.equal(forecast(split), expected), keep
        assert torch.equal(forecast(split.with_blocks(keep)), expected), keep
        assert torch.equal(walked[place], expected), keep


@pytest.mark.parametrize("backbone", BACKBONES)
def test_both_parts_of_a_block_make_the_block(backbone):
    model = tiny_model(backbone)
    whole = split_blocks(model.with_blocks((1, 3)))
    assert whole.kept == (2, 3, 6, 7)
    assert torch.equal(forecast(whole), forecast(split_blocks(model).with_blocks((2, 3, 6, 7))))


@pytest.mark.parametrize(("backbone", "head"), SHAPES)
@pytest.mark.parametrize("keep", [(), (0, 3), (1, 2, 4, 5), (1, 3, 5)])
def test_saved_model_loads_strictly_and_can_be_pruned_again(backbone, head, keep, tmp_path):
    split = split_blocks(tiny_model(backbone, head=head, blocks=3))
    model = split.with_blocks(keep)
    model.save(tmp_path)
    loaded = load_model(tmp_path)
    assert isinstance(loaded, SublayerModel)
    assert loaded.kept == keep
    assert torch.equal(forecast(loaded), forecast(model))
    again = range(1, len(keep))
    assert torch.equal(forecast(loaded.with_blocks(again)), forecast(split.with_blocks(keep[1:])))
    assert load_in_units(tmp_path, "sublayer").kept == keep


@pytest.mark.parametrize("backbone", BACKBONES)
@pytest.mark.parametrize("keep", KEEPS)
def test_transformers_loads_the_saved_backbone_whole(backbone, keep, tmp_path):
    model = split_blocks(tiny_model(backbone, blocks=3)).with_blocks(keep)
    assert_transformers_reads_it(model, tmp_path)


@pytest.mark.parametrize("backbone", BACKBONES)
def test_a_dropped_part_has_no_parameters(backbone):
    split = split_blocks(tiny_model(backbone, blocks=3))
    (blocks,) = split.blocks().values()
    sizes = [sum(p.numel() for p in block.parameters()) for block in blocks]
    rest = split.parameter_counts()["all"] - sum(sizes)
    for keep in KEEPS:
        counts = split.with_blocks(keep).parameter_counts()
        assert counts["blocks"] == sum(sizes[number] for number in keep)
        assert counts["all"] == rest + counts["blocks"]


@pytest.mark.parametrize(
    ("kept", "places"),
    [
        ((), []),
        ((0, 1, 4, 5), [(0, 0), (0, 1), (1, 0), (1, 1)]),
        ((0, 3), [(0, 0), (0, 1)]),  # an MLP stands behind the attention before it
        ((1, 2), [(0, 1), (1, 0)]),
        ((1, 3, 4), [(0, 1), (1, 1), (2, 0)]),
    ],
)
def test_parts_are_put_back_into_few_blocks(kept, places):
    assert places_of(kept, 2) == [Place(*place) for place in places]


def test_the_kind_of_attention_stays_with_its_block():
    config = tiny_model("qwen3", blocks=3).config
    kinds = ["sliding_attention", "full_attention", "sliding_attention"]
    data = config.backbone_config | {
        "layer_types": kinds, "sliding_window": 2, "use_sliding_window": True,
    }  # fmt: skip
    torch.manual_seed(0)
    model = NativeModel(config.model_copy(update={"backbone_config": data})).eval()
    split = split_blocks(model)
    for keep, stored in [((1, 2, 3), kinds[:2]), ((3, 4), kinds[1:]), ((0, 3, 5), [kinds[0]] * 2)]:
        pruned = split.with_blocks(keep)
        assert torch.equal(forecast(pruned), silenced_forecast(model, keep))
        assert pruned.config.backbone_config["layer_types"] == stored
    assert torch.equal(forecast(pruned.with_blocks((0, 2))), silenced_forecast(model, (0, 5)))


def change(folder: Path, name: str, value: Tensor | None) -> None:
    """Changes a tensor of the backbone, or takes it away, with a matching hash."""
    path = folder / "backbone/model.safetensors"
    tensors = load_file(path)
    assert name in tensors
    tensors = {key: tensor for key, tensor in tensors.items() if key != name}
    save_file(tensors if value is None else tensors | {name: value}, path)
    config = json.loads((folder / "config.json").read_text())
    config["sha256"]["backbone/model.safetensors"] = sha256_of(path)
    (folder / "config.json").write_text(json.dumps(config))


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("h.0.attn.c_proj.bias", torch.ones(16), r"h\.0\.attn\.c_proj\.bias must be zeros"),
        ("h.0.ln_1.weight", None, r"h\.0\.ln_1\.weight must be zeros"),
        ("h.0.mlp.c_fc.bias", None, "Missing key"),
        ("h.0.mlp.c_fc.bias", torch.ones(3), "size mismatch"),
    ],
)
def test_a_folder_that_does_not_fit_its_config_is_refused(name, value, message, tmp_path):
    split_blocks(tiny_model(blocks=2)).with_blocks((1,)).save(tmp_path)
    change(tmp_path, name, value)
    with pytest.raises(CheckpointError, match=message) as caught:
        load_model(tmp_path)
    assert "\n" not in str(caught.value)


def test_sublayers_that_do_not_fit_the_stored_blocks_are_refused(tmp_path):
    split_blocks(tiny_model(blocks=2)).with_blocks((1,)).save(tmp_path)
    path = tmp_path / "config.json"
    config = json.loads(path.read_text())
    config["config"]["kept"] = [1, 2]
    path.write_text(json.dumps(config))
    with pytest.raises(CheckpointError, match=r"sublayers \(1, 2\) take 2 blocks, not 1"):
        load_model(tmp_path)


def test_a_model_whose_parts_cannot_be_dropped_is_refused():
    model = tiny_model()
    model.stack = replace(model.stack, parts=())
    with pytest.raises(MaskError, match="granularity: sublayer needs blocks whose attention and"):
        split_blocks(model)


def test_frozen_text_weights_stay_frozen():
    split = split_blocks(tiny_model(family="llm4ts"))
    trained = {name for name, p in split.named_parameters() if p.requires_grad}
    assert {"backbone.h.0.ln_1.weight", "backbone.h.1.ln_2.bias", "head.weight"} <= trained
    assert not any("attn" in name or "mlp" in name for name in trained)


def test_states_are_traced_after_every_sublayer():
    model = tiny_model(blocks=3)
    context = tiny_windows()[2:, :CONTEXT]
    with torch.no_grad():
        [whole], [split] = model.trace(context), split_blocks(model).trace(context)
    assert split.attention is None
    assert torch.equal(split.hidden[::2], whole.hidden)


@pytest.mark.parametrize("backbone", BACKBONES)
def test_activation_checkpointing_changes_no_weight(backbone, tmp_path):
    split = split_blocks(tiny_model(backbone, blocks=2)).with_blocks((0, 1, 3))
    trained = []
    for is_on in (False, True):
        model = split.with_blocks(range(3))
        student = Student(name="one", model=model, steps=3, learning_rate=1e-3)
        tiny_loop(tmp_path / str(is_on), [student], activation_checkpointing=is_on).run()
        trained.append(student.model.state_dict())
    assert all(torch.equal(tensor, trained[1][name]) for name, tensor in trained[0].items())

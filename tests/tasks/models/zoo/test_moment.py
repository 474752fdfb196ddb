"""MOMENT at a tiny size."""

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from tasks.artifacts.files import read_json
from tasks.errors import CheckpointError, ParamsError
from tasks.models.build import build_model
from tasks.models.families import zoo_class
from tasks.models.registry import load_model
from tasks.models.zoo.family import ZooModel
from tasks.models.zoo.moment_net import MomentNet
from tasks.sections.data import Windows
from tasks.sections.zoo import ZooEntry
from tests.tasks.models.zoo.contract import CONTEXT, HORIZON, Contract, windows
from tests.tasks.models.zoo.published import names_and_shapes

LENGTH = 128
SHAPE = {
    "seq_len": LENGTH, "patch_dropout": 0.0, "head_dropout": 0.0,
    "t5_config": {
        "d_model": 32, "d_ff": 64, "d_kv": 8, "num_layers": 4, "num_heads": 4, "vocab_size": 16,
        "feed_forward_proj": "gated-gelu", "initializer_factor": 0.3, "dropout_rate": 0.0,
    },
}  # fmt: skip
WINDOWS = Windows(context=CONTEXT, horizon=HORIZON)


def tiny(windows: Windows = WINDOWS, **changes: object) -> ZooModel:
    torch.manual_seed(0)
    return (
        zoo_class("moment")
        .create(
            SHAPE | changes, windows, family="moment", origin="random initialisation", options={}
        )
        .eval()
    )


def published(folder: Path) -> Path:
    """A checkpoint as the hub has it: config for reconstruction, a head for patches."""
    model = tiny()
    config = {**model.library_config(), "task_name": "reconstruction"}
    del config["forecast_horizon"]
    tensors = {**model.backbone.state_dict(), "head.linear.weight": torch.ones(8, 32)}
    tensors["head.linear.bias"] = torch.ones(8)
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps(config), encoding="utf-8")
    save_file(tensors, folder / "model.safetensors")
    return folder


def imported(folder: Path) -> ZooModel:
    entry = ZooEntry(family="moment", start={"kind": "folder", "path": str(folder)})
    return build_model(entry, None, WINDOWS, seed=0, pretrained=folder)[0]


class TestMoment(Contract):
    def build(self) -> ZooModel:
        return tiny()

    def upstream_forecast(self, folder: Path, context, horizon):
        """The plain module from the saved folder: the library pins an older torch and numpy.

        `make parity` compares that module with the library itself.
        """
        net = MomentNet(read_json(folder / "config.json")).eval()
        net.load_state_dict(load_file(folder / "model.safetensors"), strict=True)
        missing = torch.full((len(context), LENGTH - context.shape[1]), float("nan"))
        with torch.no_grad():
            return net(torch.cat([missing, context], dim=1))[:, :horizon]


def test_names_and_shapes_are_those_of_the_published_checkpoint_but_for_the_head():
    width, keys, inner = 512, 384, 1024
    attention = "layer.0.SelfAttention"
    block = {f"{attention}.{name}.weight": (keys, width) for name in ("q", "k", "v")}
    block |= {f"{attention}.o.weight": (width, keys)}
    block |= {f"layer.{n}.layer_norm.weight": (width,) for n in (0, 1)}
    mlp = "layer.1.DenseReluDense"
    block |= {f"{mlp}.{name}.weight": (inner, width) for name in ("wi_0", "wi_1")}
    block |= {f"{mlp}.wo.weight": (width, inner)}
    expected = {f"encoder.block.{n}.{k}": v for n in range(8) for k, v in block.items()}
    expected |= {
        f"encoder.block.0.{attention}.relative_attention_bias.weight": (32, 6),
        "encoder.embed_tokens.weight": (32128, width),
        "encoder.final_layer_norm.weight": (width,),
        "patch_embedding.mask_embedding": (width,),
        "patch_embedding.value_embedding.weight": (width, 8),
        "patch_embedding.position_embedding.pe": (1, 5000, width),
        "head.linear.weight": (96, 64 * width),  # published: (8, width), of another head
        "head.linear.bias": (96,),
    }
    config = {
        "forecast_horizon": 96,
        "t5_config": {
            "d_model": width, "d_kv": 64, "d_ff": inner, "num_layers": 8, "num_heads": 6,
            "vocab_size": 32128, "feed_forward_proj": "gated-gelu",
        },
    }  # fmt: skip
    assert names_and_shapes("moment", config) == expected


def test_a_published_checkpoint_starts_with_a_new_head_and_says_so(tmp_path):
    folder = published(tmp_path / "hub")
    model = imported(folder)
    assert model.label == f"moment, {folder} with a new forecasting head, to be tuned first"
    assert model.backbone.head.linear.weight.shape == (HORIZON, LENGTH // 8 * 32)
    stored = load_file(folder / "model.safetensors")
    own = model.backbone.state_dict()
    assert all(torch.equal(own[name], stored[name]) for name in stored if "head" not in name)


def test_a_tuned_head_comes_back_with_its_horizon(tmp_path):
    model = tiny(Windows(context=CONTEXT, horizon=24))
    model.save(tmp_path / "one")
    again = imported(tmp_path / "one" / "backbone")
    assert again.label == f"moment, {tmp_path / 'one' / 'backbone'}"
    context = windows()[:, :CONTEXT]
    with torch.no_grad():
        expected = model.forecast(context, HORIZON).mean
        torch.testing.assert_close(again.eval().forecast(context, HORIZON).mean, expected)


def test_a_checkpoint_without_a_block_is_refused(tmp_path):
    folder = published(tmp_path / "hub")
    tensors = load_file(folder / "model.safetensors")
    name = "encoder.block.1.layer.0.SelfAttention.q.weight"
    save_file({k: v for k, v in tensors.items() if k != name}, folder / "model.safetensors")
    with pytest.raises(CheckpointError, match=name):
        imported(folder)


def test_the_depth_in_the_nested_config_follows(tmp_path):
    smaller = tiny().with_blocks([1, 3])
    smaller.save(tmp_path)
    config = read_json(tmp_path / "backbone" / "config.json")
    assert config["t5_config"]["num_layers"] == 2
    assert load_model(tmp_path).num_blocks == 2


def test_the_position_bias_moves_to_the_new_first_block():
    name = "encoder.block.0.layer.0.SelfAttention.relative_attention_bias.weight"
    model = tiny()
    smaller = model.with_blocks([2, 3])
    assert torch.equal(smaller.backbone.state_dict()[name], model.backbone.state_dict()[name])


def test_a_patch_with_a_gap_is_hidden_from_attention():
    net, context = tiny().backbone, windows(2, LENGTH)[:1]
    context[:, 40] = float("nan")  # patch 5
    seen = []
    hook = net.encoder.register_forward_pre_hook(
        lambda _m, _a, kwargs: seen.append(kwargs["attention_mask"]), with_kwargs=True
    )
    with torch.no_grad():
        net(context)
        net(torch.full_like(context, float("nan")))
    hook.remove()
    assert seen[0][0].tolist() == [0 if patch in {1, 2, 5} else 1 for patch in range(16)]
    assert seen[1][0].tolist() == [1] * 16


def test_a_long_forecast_takes_its_own_for_context():
    model, context = tiny(), windows()[:, :CONTEXT]
    with torch.no_grad():
        first = model.forecast(context, HORIZON).mean
        second = model.forecast(torch.cat([context, first], dim=1), HORIZON).mean
        torch.testing.assert_close(
            model.forecast(context, 2 * HORIZON).mean, torch.cat([first, second], dim=1)
        )


def test_the_token_embedding_does_not_count_as_used():
    counts = tiny().parameter_counts()
    assert counts["all"] - counts["used"] == 16 * 32 + 32


def test_the_loss_is_the_mean_square_of_what_was_observed():
    model, window = tiny(), windows()
    outputs = model.outputs(window)
    error = (outputs.prediction - outputs.target) * outputs.scale
    torch.testing.assert_close(outputs.loss, error[outputs.observed].square().mean())


@pytest.mark.parametrize("changes", [{"patch_stride_len": 4}, {"seq_len": 100}])
def test_patches_must_lie_side_by_side(changes):
    with pytest.raises(ParamsError, match="seq_len must be whole patches side by side"):
        tiny(**changes)


def test_a_config_without_the_encoder_is_told():
    with pytest.raises(ParamsError, match="moment needs `t5_config`"):
        zoo_class("moment").complete({})

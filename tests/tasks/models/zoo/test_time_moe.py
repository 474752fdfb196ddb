"""Time-MoE at a tiny size, and its net against the published code."""

from pathlib import Path

import pytest
import torch

from tasks.errors import CheckpointError, ParamsError
from tasks.models.families import zoo_class
from tasks.models.upstream import load_upstream
from tasks.models.zoo.decoder import read_shape
from tasks.models.zoo.family import ZooModel
from tasks.models.zoo.time_moe import TimeMoe
from tasks.models.zoo.time_moe_net import TimeMoeNet, TimeMoeShape, load_balance
from tasks.sections.data import Windows
from tests.tasks.models.zoo.contract import CONTEXT, HORIZON, Contract, windows
from tests.tasks.models.zoo.own_nets import (
    at_published_size,
    fix_weights,
    fixed_series,
    keys_by_pattern,
    strictly_loaded,
)

SHAPE = {
    "hidden_size": 32, "intermediate_size": 64, "horizon_lengths": [1, 4, 8],
    "num_hidden_layers": 4, "num_attention_heads": 4, "num_key_value_heads": 4, "num_experts": 4,
    "initializer_range": 0.2, "max_position_embeddings": 128,
}  # fmt: skip
COMPARED = SHAPE | {
    "hidden_size": 16, "intermediate_size": 24, "num_hidden_layers": 2, "num_key_value_heads": 2,
}  # fmt: skip
DENSE = {"use_dense": True, "apply_aux_loss": False}
BLOCK = "model.layers.*"
PUBLISHED = {
    "model.embed_layer.emb_layer.weight": (384, 1),
    "model.embed_layer.gate_layer.weight": (384, 1),
    **{f"{BLOCK}.self_attn.{name}_proj.weight": (384, 384) for name in "qkvo"},
    **{f"{BLOCK}.self_attn.{name}_proj.bias": (384,) for name in "qkv"},
    f"{BLOCK}.ffn_layer.gate.weight": (8, 384),
    f"{BLOCK}.ffn_layer.experts.*.gate_proj.weight": (768, 384),
    f"{BLOCK}.ffn_layer.experts.*.up_proj.weight": (768, 384),
    f"{BLOCK}.ffn_layer.experts.*.down_proj.weight": (384, 768),
    f"{BLOCK}.ffn_layer.shared_expert.gate_proj.weight": (1536, 384),
    f"{BLOCK}.ffn_layer.shared_expert.up_proj.weight": (1536, 384),
    f"{BLOCK}.ffn_layer.shared_expert.down_proj.weight": (384, 1536),
    f"{BLOCK}.ffn_layer.shared_expert_gate.weight": (1, 384),
    f"{BLOCK}.input_layernorm.weight": (384,),
    f"{BLOCK}.post_attention_layernorm.weight": (384,),
    "model.norm.weight": (384,),
    **{f"lm_heads.{n}.out_layer.weight": (length, 384) for n, length in enumerate((1, 8, 32, 64))},
}


def tiny(**changes: object) -> ZooModel:
    """Four blocks of four experts; heads of 1, 4 and 8 values."""
    torch.manual_seed(0)
    return (
        zoo_class("time_moe")
        .create(
            SHAPE | changes,
            Windows(context=CONTEXT, horizon=HORIZON),
            family="time_moe",
            origin="random initialisation",
            options={},
        )
        .eval()
    )


class TestTimeMoe(Contract):
    def build(self) -> ZooModel:
        return tiny()

    def upstream_forecast(self, folder: Path, context, horizon):
        """The plain net alone: the published loader needs transformers 4.40."""
        net = strictly_loaded(TimeMoe, folder)
        assert isinstance(net, TimeMoeNet)
        with torch.no_grad():
            return net.generate(context, horizon)

    def test_experts_and_heads_are_no_stacks(self, model):
        assert list(model.blocks()) == ["model.layers"]
        assert model.tail()[-1] is model.backbone.lm_heads


class TestDenseTimeMoe(Contract):
    """With one MLP in place of the experts."""

    def build(self) -> ZooModel:
        return tiny(**DENSE)

    upstream_forecast = TestTimeMoe.upstream_forecast


def test_the_keys_are_the_published_ones():
    net = at_published_size(TimeMoe, {})
    assert keys_by_pattern(net) == PUBLISHED
    assert len(net.model.layers) == 12
    assert all(len(block.ffn_layer.experts) == 8 for block in net.model.layers)
    assert round(sum(p.numel() for p in net.parameters()) / 1e6) == 113
    assert not list(net.buffers())  # a loader cannot leave unset what is not there


EXPECTED = [
    [4.75676, 4.76918, 4.62763, 5.39977],
    [-2.68788, -2.6677, -3.08532, -0.66403],
    [-0.07658, -0.04798, -0.0751, 0.07956],
]
EXPECTED_DENSE = [
    [5.38357, 5.38302, 5.40529, 4.61567],
    [-0.73937, -0.73872, -0.67126, -3.1092],
    [0.0708, 0.07664, 0.0809, -0.07767],
]


@pytest.mark.parametrize(("change", "expected"), [({}, EXPECTED), (DENSE, EXPECTED_DENSE)])
def test_forecasts_are_those_of_the_published_code(change, expected):
    net = fix_weights(TimeMoeNet(read_shape(TimeMoeShape, COMPARED | change, "time_moe")))
    with torch.no_grad():
        found = net.generate(fixed_series(), 23)  # heads of 8, 8, 4, 1, 1 and 1 values
    torch.testing.assert_close(
        found[:, [0, 8, 19, 22]], torch.tensor(expected), rtol=1e-4, atol=2e-5
    )


@pytest.mark.parametrize(("change", "expected"), [({}, 0.6473187), (DENSE, 0.5834164)])
def test_the_loss_is_that_of_the_published_code(change, expected):
    net = fix_weights(TimeMoeNet(read_shape(TimeMoeShape, COMPARED | change, "time_moe")))
    window = fixed_series()[:, : CONTEXT + 1]
    _, loss = net.forecast_and_loss(window[:, :CONTEXT], window, 1)
    assert float(loss.detach()) == pytest.approx(expected, rel=1e-5)


def test_a_checkpoint_in_bf16_is_taken_whole_or_not_at_all(tmp_path):
    source, model = tiny().backbone.bfloat16().state_dict(), tiny()
    load_upstream(model, source, tmp_path)
    assert all(torch.equal(t.bfloat16(), source[n]) for n, t in model.backbone.state_dict().items())
    lost = "model.layers.2.ffn_layer.experts.3.up_proj.weight"
    with pytest.raises(CheckpointError, match=lost):
        load_upstream(model, {n: t for n, t in source.items() if n != lost}, tmp_path)


def test_balanced_routers_cost_least():
    even = torch.eye(4).repeat(2, 1) * 5
    assert float(load_balance(even, 1)) == pytest.approx(1)
    assert float(load_balance(torch.tensor([[9.0, 0.0, 0.0, 0.0]]), 1)) > 3.9


def test_missing_targets_take_no_part_in_the_loss():
    model, window = tiny(), windows()
    window[:, CONTEXT + 4 :] = float("nan")
    seen = model._seen(window[:, :CONTEXT])
    losses = [
        float(model.backbone.forecast_and_loss(seen, window[:, :length], 4)[1].detach())
        for length in (CONTEXT + 4, CONTEXT + HORIZON)
    ]
    assert losses[0] == pytest.approx(losses[1], rel=1e-6)


def test_a_longer_context_is_cut_to_the_positions_of_the_model():
    model, long = tiny(), windows(2, 200)
    with torch.no_grad():
        assert torch.equal(model.forecast(long, 4).mean, model.forecast(long[:, -128:], 4).mean)


def test_checkpointing_changes_no_gradient():
    found = []
    for checkpointing in (False, True):
        model = tiny().train()
        if checkpointing:
            model.checkpoint_activations()
        model.outputs(windows()).loss.backward()
        found.append([p.grad for p in model.all_blocks()[0].parameters() if p.grad is not None])
    for plain, again in zip(*found, strict=True):
        torch.testing.assert_close(plain, again)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"num_key_value_heads": 3}, "num_attention_heads must be a multiple of num_key"),
        ({"num_experts": 1}, "num_experts_per_tok must be at most num_experts"),
        ({"hidden_size": 20}, "hidden_size must be a multiple of twice num_attention_heads"),
        ({"hidden_act": "sulu"}, "no activation 'sulu'"),
        ({"num_hidden_layers": "3"}, "config field num_hidden_layers: .*; got 3; correct it"),
        ({"horizon_lengths": []}, "config field horizon_lengths"),
        ({"model_type": "timer"}, "the config is of model_type 'timer'; name that family"),
    ],
)
def test_a_config_that_cannot_be_built_is_refused(change, message):
    with pytest.raises(ParamsError, match=message) as caught:
        TimeMoe.complete(SHAPE | change)
    assert "\n" not in str(caught.value)

"""Timer at a tiny size, and its net against the published code."""

from pathlib import Path

import pytest
import torch

from tasks.models.families import zoo_class
from tasks.models.zoo.decoder import read_shape
from tasks.models.zoo.family import ZooModel
from tasks.models.zoo.timer import Timer
from tasks.models.zoo.timer_net import TimerNet, TimerShape
from tasks.sections.data import Windows
from tests.tasks.models.zoo.contract import CONTEXT, HORIZON, Contract
from tests.tasks.models.zoo.own_nets import (
    at_published_size,
    fix_weights,
    fixed_series,
    keys_by_pattern,
    strictly_loaded,
)

SHAPE = {
    "input_token_len": 8, "hidden_size": 32, "intermediate_size": 64, "output_token_lens": [8],
    "num_hidden_layers": 4, "num_attention_heads": 4, "initializer_range": 0.2,
}  # fmt: skip
COMPARED = SHAPE | {
    "hidden_size": 16, "intermediate_size": 24, "output_token_lens": [8, 16],
    "num_hidden_layers": 2, "num_attention_heads": 2,
}  # fmt: skip
BLOCK = "model.layers.*"
PUBLISHED = {
    "model.embed_layer.emb.weight": (1024, 96),
    **{f"{BLOCK}.self_attn.{name}_proj.weight": (1024, 1024) for name in "qkvo"},
    **{f"{BLOCK}.self_attn.{name}_proj.bias": (1024,) for name in "qkv"},
    f"{BLOCK}.ffn_layer.gate_proj.weight": (2048, 1024),
    f"{BLOCK}.ffn_layer.up_proj.weight": (2048, 1024),
    f"{BLOCK}.ffn_layer.down_proj.weight": (1024, 2048),
    **{f"{BLOCK}.norm{n}.{part}": (1024,) for n in (1, 2) for part in ("weight", "bias")},
    "model.norm.weight": (1024,),
    "model.norm.bias": (1024,),
    "lm_heads.0.weight": (96, 1024),
}
POINTS = {"input_token_len": 1, "output_token_lens": [1, 8, 32, 64]}  # defaults of the code
OF_POINTS = {
    "model.embed_layer.emb.weight": (1024, 1),
    **{f"lm_heads.{n}.weight": (length, 1024) for n, length in enumerate((1, 8, 32, 64))},
}


def tiny() -> ZooModel:
    """Four blocks; patches of 8, of which a horizon needs two."""
    torch.manual_seed(0)
    return (
        zoo_class("timer")
        .create(
            SHAPE,
            Windows(context=CONTEXT, horizon=HORIZON),
            family="timer",
            origin="random initialisation",
            options={},
        )
        .eval()
    )


class TestTimer(Contract):
    def build(self) -> ZooModel:
        return tiny()

    def upstream_forecast(self, folder: Path, context, horizon):
        """The plain net alone: the published loader needs transformers 4.40."""
        net = strictly_loaded(Timer, folder)
        assert isinstance(net, TimerNet)
        with torch.no_grad():
            return net.generate(context, horizon)

    def test_h_0_is_the_output_of_the_embedding(self, model, context):
        outputs = []
        hook = model.embedding_map().register_forward_hook(lambda _m, _a, out: outputs.append(out))
        states = model.trace(context)[0].hidden
        hook.remove()
        assert len(outputs) > 1  # the forecast is rolled, and the trace is that of its first step
        assert torch.equal(states[0], outputs[0])


@pytest.mark.parametrize(("given", "other"), [({}, {}), (POINTS, OF_POINTS)])
def test_the_keys_are_the_published_ones(given, other):
    net = at_published_size(Timer, given)
    assert keys_by_pattern(net) == PUBLISHED | other
    assert len(net.model.layers) == 8
    assert not list(net.buffers())  # a loader cannot leave unset what is not there


def test_the_published_size_is_84_million():
    net = at_published_size(Timer, {})
    assert sum(p.numel() for p in net.parameters()) == pytest.approx(84.1e6, rel=1e-2)


def test_forecasts_are_those_of_the_published_code():
    net = fix_weights(TimerNet(read_shape(TimerShape, COMPARED, "timer")))
    with torch.no_grad():
        found = net.generate(fixed_series(), 43)  # heads of 16, 16, 8 and 8 values
    expected = [
        [4.94754, 3.40922, 5.11656, 5.85021],
        [-5.59838, -4.31308, -6.11578, -3.69926],
        [0.08955, -0.30083, 0.15408, 0.25794],
    ]
    torch.testing.assert_close(
        found[:, [0, 15, 16, 42]], torch.tensor(expected), rtol=1e-4, atol=2e-5
    )


def test_the_loss_is_that_of_the_published_code():
    net = fix_weights(TimerNet(read_shape(TimerShape, COMPARED, "timer")))
    window = fixed_series()[:, : CONTEXT + 16]
    _, loss = net.forecast_and_loss(window[:, :CONTEXT], window, 16)
    assert float(loss.detach()) == pytest.approx(2.236092, rel=1e-5)


def test_training_and_forecast_begin_alike():
    model = tiny()
    window = fixed_series()[:, : CONTEXT + HORIZON]
    with torch.no_grad():
        outputs = model.outputs(window)
        forecast = model.forecast(window[:, :CONTEXT], HORIZON).mean
    mean = window[:, :CONTEXT].mean(1, keepdim=True)
    torch.testing.assert_close(
        outputs.prediction[:, 0] * outputs.scale[:, 0] + mean, forecast[:, :8]
    )


def test_a_context_below_one_patch_begins_with_its_first_value():
    model, short = tiny(), torch.tensor([[2.0, 3.0, 1.0]])
    whole = torch.cat([torch.full((1, 5), 2.0), short], dim=1)
    with torch.no_grad():
        assert torch.equal(model.forecast(short, 4).mean, model.forecast(whole, 4).mean)

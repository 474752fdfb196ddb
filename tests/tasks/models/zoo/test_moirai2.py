"""Moirai 2 at a tiny size."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from tasks.artifacts.files import read_json
from tasks.errors import ParamsError
from tasks.models.families import zoo_class
from tasks.models.zoo.family import ZooModel
from tasks.models.zoo.moirai2 import pinball_loss
from tasks.models.zoo.moirai2_net import Moirai2Net, causal_mean
from tasks.sections.data import Windows
from tests.tasks.models.zoo.contract import CONTEXT, HORIZON, Contract, windows
from tests.tasks.models.zoo.published import names_and_shapes

SHAPE = {
    "d_model": 64, "d_ff": 128, "num_layers": 4, "patch_size": 8, "num_predict_token": 2,
    "max_seq_len": 16,
}  # fmt: skip
NAN = float("nan")


def tiny(**changes: object) -> ZooModel:
    torch.manual_seed(0)
    return (
        zoo_class("moirai2")
        .create(
            SHAPE | changes,
            Windows(context=CONTEXT, horizon=HORIZON),
            family="moirai2",
            origin="random initialisation",
            options={},
        )
        .eval()
    )


class TestMoirai2(Contract):
    def build(self) -> ZooModel:
        return tiny()

    def upstream_forecast(self, folder: Path, context, horizon):
        """The plain module from the saved folder: the library pins an older torch and numpy.

        `make parity` compares that module with the library itself.
        """
        net = Moirai2Net(read_json(folder / "config.json")).eval()
        net.load_state_dict(load_file(folder / "model.safetensors"), strict=True)
        with torch.no_grad():
            return net.quantiles(context, horizon)[:, net.levels.index(0.5)]


def test_names_and_shapes_are_those_of_the_published_checkpoint():
    width, inner, patch, out = 384, 1024, 16, 4 * 9 * 16
    block = {f"self_attn.{name}_proj.weight": (width, width) for name in ("q", "k", "v", "out")}
    block |= {f"self_attn.{name}_norm.weight": (64,) for name in ("q", "k")}
    block |= {"self_attn.var_attn_bias.emb.weight": (2, 6), "ffn.fc2.weight": (width, inner)}
    block |= {f"ffn.{name}.weight": (inner, width) for name in ("fc1", "fc_gate")}
    block |= {f"{name}.weight": (width,) for name in ("norm1", "norm2")}
    expected = {f"encoder.layers.{n}.{k}": v for n in range(6) for k, v in block.items()}
    expected["encoder.norm.weight"] = (width,)
    for name, given, made in (("in_proj", 2 * patch, width), ("out_proj", width, out)):
        maps = {"hidden": (width, given), "output": (made, width), "residual": (made, given)}
        for layer, shape in maps.items():
            expected[f"{name}.{layer}_layer.weight"] = shape
            expected[f"{name}.{layer}_layer.bias"] = shape[:1]
    config = {"d_model": width, "d_ff": inner, "num_layers": 6}
    assert names_and_shapes("moirai2", config) == expected


def test_a_forecast_is_rolled_along_every_quantile():
    """Two passes by hand: each quantile joins the context, then all that follows is pooled."""
    net, context = tiny().backbone, windows(2)[:1, 2:CONTEXT]
    with torch.no_grad():
        first = net.quantiles(context, HORIZON)  # [1, Q, H]
        followers = []
        for path in first[0]:
            longer = torch.cat([torch.zeros(1, 2), context, path[None]], dim=1)
            seen = torch.isfinite(longer)
            seen[:, :2] = False  # the values that complete the first patch
            values = longer.clone()
            values[:, 2:CONTEXT] = causal_mean(context)
            cut = (-1, SHAPE["patch_size"])
            seen = seen.unflatten(1, cut)
            found, loc, scale = net(values.unflatten(1, cut), seen, torch.arange(10)[None])
            followers.append((found * scale + loc).transpose(1, 2).flatten(2)[0])
        pooled = torch.cat(followers)  # [Q * Q, H]
        expected = torch.quantile(pooled, torch.tensor(net.levels), dim=0)
        torch.testing.assert_close(net.quantiles(context, 2 * HORIZON)[0, :, HORIZON:], expected)


def test_no_token_sees_those_after_it():
    net, context = tiny().backbone, windows(2)[:1, :CONTEXT]
    states = []
    hook = net.encoder.register_forward_hook(lambda _m, _a, out: states.append(out))
    with torch.no_grad():
        values, seen, time = net.tokens(context)
        net.scaling = False
        net(values, seen, time)
        net(values[:, :4], seen[:, :4], time[:, :4])
    hook.remove()
    torch.testing.assert_close(states[0][:, :4], states[1])


def test_gaps_are_filled_with_the_mean_of_what_came_before():
    context = torch.tensor(
        [[NAN, 2.0, NAN, NAN, 5.0, NAN], [NAN] * 6, [4.0, NAN, 1.0, NAN, NAN, 2]]
    )
    expected = [[2, 2, 2, 2, 5, 2.6], [0] * 6, [4, 4, 1, 3, 2.5, 2]]
    # the third row: (4 + 4 + 1) / 3, then (4 + 4 + 1 + 1) / 4, the gap counting as the last value
    torch.testing.assert_close(causal_mean(context), torch.tensor(expected, dtype=torch.float32))


def test_the_loss_is_the_pinball_loss_over_what_was_observed():
    levels = torch.tensor([0.1, 0.5])
    quantiles = torch.tensor([[[0.0, 0.0], [1.0, 1.0]]])
    target = torch.tensor([[2.0, NAN]])
    expected = (0.1 * 2 + 0.5 * 1) / 2
    assert float(pinball_loss(quantiles, target, levels)) == pytest.approx(expected)


def test_the_median_is_the_mean_and_quantiles_are_the_configs():
    model = tiny(quantile_levels=[0.1, 0.5, 0.9])
    with torch.no_grad():
        found = model.forecast(windows()[:, :CONTEXT], HORIZON)
    assert list(found.quantiles) == [0.1, 0.5, 0.9]
    assert torch.equal(found.mean, found.quantiles[0.5])


def test_the_last_map_before_the_blocks_moves_their_input_alone():
    model, context = tiny(), windows()[:, :CONTEXT]
    before = model.trace(context)[0].hidden[0]
    with torch.no_grad():
        model.embedding_map().bias += 1.0
    torch.testing.assert_close(model.trace(context)[0].hidden[0], before + 1.0)


def test_a_config_without_the_inner_width_is_told():
    with pytest.raises(ParamsError, match="moirai2 needs `d_ff`"):
        zoo_class("moirai2").complete({"d_model": 64, "num_layers": 1})


def test_it_has_no_options():
    with pytest.raises(ParamsError, match="no option 'samples'"):
        zoo_class("moirai2").check_options({"samples": 3})

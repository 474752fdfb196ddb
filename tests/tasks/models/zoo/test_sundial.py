"""Sundial at a tiny size, and its net against the published code."""

from pathlib import Path

import pytest
import torch

from tasks.errors import ParamsError
from tasks.models.families import zoo_class
from tasks.models.zoo.decoder import read_shape
from tasks.models.zoo.family import ZooModel
from tasks.models.zoo.sundial import SEED, Sundial, sample_quantiles
from tasks.models.zoo.sundial_net import SundialNet, SundialShape
from tasks.sections.data import Windows
from tests.tasks.models.zoo.contract import CONTEXT, HORIZON, Contract, windows
from tests.tasks.models.zoo.own_nets import (
    at_published_size,
    fix_weights,
    fixed_series,
    keys_by_pattern,
    strictly_loaded,
)

SAMPLES = 5
SHAPE = {
    "input_token_len": 8, "hidden_size": 32, "intermediate_size": 64, "output_token_lens": [24],
    "num_hidden_layers": 4, "num_attention_heads": 4, "flow_loss_depth": 2, "dropout_rate": 0.0,
    "num_sampling_steps": 4, "initializer_range": 0.2,
}  # fmt: skip
COMPARED = SHAPE | {
    "hidden_size": 16, "intermediate_size": 24, "num_hidden_layers": 2, "num_attention_heads": 2,
    "num_sampling_steps": 5,
}  # fmt: skip
BLOCK, FLOW = "model.layers.*", "flow_loss.net"
PUBLISHED = {
    "model.embed_layer.hidden_layer.weight": (3072, 32),
    "model.embed_layer.hidden_layer.bias": (3072,),
    "model.embed_layer.output_layer.weight": (768, 3072),
    "model.embed_layer.output_layer.bias": (768,),
    "model.embed_layer.residual_layer.weight": (768, 32),
    "model.embed_layer.residual_layer.bias": (768,),
    **{f"{BLOCK}.self_attn.{name}_proj.weight": (768, 768) for name in "qkvo"},
    **{f"{BLOCK}.self_attn.{name}_proj.bias": (768,) for name in "qkv"},
    f"{BLOCK}.ffn_layer.gate_proj.weight": (3072, 768),
    f"{BLOCK}.ffn_layer.up_proj.weight": (3072, 768),
    f"{BLOCK}.ffn_layer.down_proj.weight": (768, 3072),
    **{f"{BLOCK}.norm{n}.{part}": (768,) for n in (1, 2) for part in ("weight", "bias")},
    "model.norm.weight": (768,),
    "model.norm.bias": (768,),
    f"{FLOW}.time_embed.mlp.0.weight": (768, 256),
    f"{FLOW}.time_embed.mlp.0.bias": (768,),
    f"{FLOW}.time_embed.mlp.2.weight": (768, 768),
    f"{FLOW}.time_embed.mlp.2.bias": (768,),
    f"{FLOW}.cond_embed.weight": (768, 768),
    f"{FLOW}.cond_embed.bias": (768,),
    f"{FLOW}.input_proj.weight": (768, 720),
    f"{FLOW}.input_proj.bias": (768,),
    f"{FLOW}.res_blocks.*.in_ln.weight": (768,),
    f"{FLOW}.res_blocks.*.in_ln.bias": (768,),
    **{f"{FLOW}.res_blocks.*.mlp.{n}.weight": (768, 768) for n in (0, 2)},
    **{f"{FLOW}.res_blocks.*.mlp.{n}.bias": (768,) for n in (0, 2)},
    f"{FLOW}.res_blocks.*.adaLN_modulation.1.weight": (2304, 768),
    f"{FLOW}.res_blocks.*.adaLN_modulation.1.bias": (2304,),
    f"{FLOW}.final_layer.linear.weight": (720, 768),
    f"{FLOW}.final_layer.linear.bias": (720,),
    f"{FLOW}.final_layer.adaLN_modulation.1.weight": (1536, 768),
    f"{FLOW}.final_layer.adaLN_modulation.1.bias": (1536,),
}


def tiny(options: dict[str, object] | None = None) -> Sundial:
    """Four blocks; 24 values are sampled at once."""
    torch.manual_seed(0)
    model = zoo_class("sundial").create(
        SHAPE,
        Windows(context=CONTEXT, horizon=HORIZON),
        family="sundial",
        origin="random initialisation",
        options={"samples": SAMPLES} if options is None else options,
    )
    assert isinstance(model, Sundial)
    return model.eval()


class TestSundial(Contract):
    def build(self) -> ZooModel:
        return tiny()

    def upstream_forecast(self, folder: Path, context, horizon):
        """The plain net alone: the published loader needs transformers 4.40."""
        net = strictly_loaded(Sundial, folder)
        assert isinstance(net, SundialNet)
        with torch.no_grad():
            return net.generate(context, horizon, SAMPLES, seed=SEED).mean(1)

    def test_the_flow_is_in_the_tail_not_in_the_stack(self, model):
        assert not any("res_blocks" in name for name in model.blocks())
        assert model.tail()[-1] is model.backbone.flow_loss

    def test_a_block_ends_in_a_linear_map_that_adds_to_the_stream(self, model, context):
        block, inputs, outputs, added = model.all_blocks()[1], [], [], []
        hooks = [
            block.norm2.register_forward_hook(lambda _m, given, _out: inputs.append(given[0])),
            model.output_map(1).register_forward_hook(lambda _m, _in, out: added.append(out)),
            block.register_forward_hook(lambda _m, _in, out: outputs.append(out)),
        ]
        self.mean(model, context)
        for hook in hooks:
            hook.remove()
        assert torch.equal(outputs[0], inputs[0] + added[0])


def test_the_keys_are_the_published_ones():
    net = at_published_size(Sundial, {"model_type": "sundial"})
    assert keys_by_pattern(net) == PUBLISHED
    assert len(net.model.layers) == 12
    assert len(net.flow_loss.net.res_blocks) == 3
    assert round(sum(p.numel() for p in net.parameters()) / 1e6) == 128
    assert sum(p.numel() for p in net.model.layers.parameters()) == 12 * 9_442_560
    assert not list(net.buffers())  # a loader cannot leave unset what is not there


def test_samples_are_those_of_the_published_code():
    net = fix_weights(SundialNet(read_shape(SundialShape, COMPARED, "sundial")))
    torch.manual_seed(0)
    with torch.no_grad():
        found = net.generate(fixed_series(), 60, 3)  # rolled twice
    expected = [
        [4.66433, 4.89551, 4.77856, 4.35926],
        [-1.55629, -0.84712, -2.052, -1.76489],
        [-0.06696, -0.02024, -0.05886, -0.115],
    ]
    torch.testing.assert_close(
        found[:, 1, [0, 23, 24, 59]], torch.tensor(expected), rtol=1e-4, atol=2e-5
    )


def test_the_loss_is_that_of_the_published_code():
    net = fix_weights(SundialNet(read_shape(SundialShape, COMPARED, "sundial")))
    window = fixed_series()[:, : CONTEXT + 24]
    torch.manual_seed(0)
    _, loss = net.guess_and_loss(window[:, :CONTEXT], window, samples=2, seed=0)
    assert float(loss.detach()) == pytest.approx(6.649814, rel=1e-5)


def test_missing_targets_take_no_part_in_the_loss():
    model, window = tiny(), windows()
    losses = []
    for length in (CONTEXT + 4, CONTEXT + HORIZON):
        made = window.clone()
        made[:, CONTEXT + 4 :] = float("nan")
        torch.manual_seed(0)
        losses.append(float(model.backbone.guess_and_loss(
            model._seen(made[:, :CONTEXT]), made[:, :length], 2, 0
        )[1].detach()))  # fmt: skip
    assert losses[0] == pytest.approx(losses[1], rel=1e-6)


def test_a_forecast_depends_on_its_window_alone():
    model, context = tiny(), windows()[:, :CONTEXT]
    with torch.no_grad():
        together = model.forecast(context, 2 * HORIZON)
        torch.manual_seed(1)
        alone = model.forecast(context[2:3], 2 * HORIZON)
    torch.testing.assert_close(together.mean[2:3], alone.mean)
    torch.testing.assert_close(together.quantiles[0.9][2:3], alone.quantiles[0.9])


def test_quantiles_rise_and_are_those_of_the_samples():
    samples = torch.randn(3, 7, 4, generator=torch.Generator().manual_seed(0))
    quantiles = sample_quantiles(samples)
    for level, values in quantiles.items():
        torch.testing.assert_close(values, samples.quantile(level, dim=1))
    assert (quantiles[0.1] <= quantiles[0.5]).all()
    assert set(sample_quantiles(samples[:, :1])) == set(quantiles)


def test_the_option_samples_says_how_many():
    assert tiny({"samples": 3}).samples == 3
    assert tiny({}).samples == 20


@pytest.mark.parametrize("value", [0, 1001, 2.5, True, "20"])
def test_samples_must_be_a_count(value):
    with pytest.raises(ParamsError, match=r"options.samples: must be a whole number .*; got"):
        Sundial.check_options({"samples": value})


def test_there_is_no_other_option():
    with pytest.raises(ParamsError, match="no option 'steps'"):
        Sundial.check_options({"samples": 3, "steps": 4})


def test_what_a_published_config_holds_is_kept_as_data():
    given = {"auto_map": {"AutoConfig": "configuration_sundial.SundialConfig"}, "torch_dtype": "x"}
    whole = Sundial.complete(given)
    assert whole["auto_map"] == given["auto_map"]
    assert whole["torch_dtype"] == "x"
    assert whole["architectures"] == ["SundialForPrediction"]
    assert whole["output_token_lens"] == [720]


def test_checkpointing_changes_no_gradient():
    found = []
    for checkpointing in (False, True):
        model = tiny().train()
        if checkpointing:
            model.checkpoint_activations()
        torch.manual_seed(0)
        model.outputs(windows()).loss.backward()
        found.append([p.grad for p in model.all_blocks()[0].parameters()])
    for plain, again in zip(*found, strict=True):
        torch.testing.assert_close(plain, again)

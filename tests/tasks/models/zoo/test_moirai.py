"""Moirai 1 at a tiny size."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from scipy import stats

from tasks.artifacts.files import read_json
from tasks.errors import ParamsError
from tasks.models.families import zoo_class
from tasks.models.zoo.family import ZooModel
from tasks.models.zoo.moirai_encoder import time_ids
from tasks.models.zoo.moirai_mixture import LEVELS, LIMIT, SEED, SizedOutput
from tasks.models.zoo.moirai_net import MoiraiNet
from tasks.sections.data import Windows
from tests.tasks.models.zoo.contract import CONTEXT, HORIZON, Contract, windows
from tests.tasks.models.zoo.published import names_and_shapes

SHAPE = {"d_model": 64, "num_layers": 4, "patch_sizes": [8, 16], "max_seq_len": 16}
PATCH = 8


def tiny(options: dict | None = None, **changes: object) -> ZooModel:
    torch.manual_seed(0)
    return (
        zoo_class("moirai")
        .create(
            SHAPE | changes,
            Windows(context=CONTEXT, horizon=HORIZON),
            family="moirai",
            origin="random initialisation",
            options={"patch_size": PATCH} if options is None else options,
        )
        .eval()
    )


class TestMoirai(Contract):
    def build(self) -> ZooModel:
        return tiny()

    def upstream_forecast(self, folder: Path, context, horizon):
        """The plain module from the saved folder: the library pins an older torch and numpy.

        `make parity` compares that module with the library itself.
        """
        net = MoiraiNet(read_json(folder / "config.json")).eval()
        net.load_state_dict(load_file(folder / "model.safetensors"), strict=True)
        with torch.no_grad():
            return net(context, horizon, PATCH).mean

    def test_a_short_forecast_begins_a_long_one(self, model, context):
        """Only within a patch: every masked token sees how many of them there are."""
        short, long = self.mean(model, context, 3), self.mean(model, context, PATCH)
        torch.testing.assert_close(short, long[:, :3])
        assert not torch.allclose(long, self.mean(model, context, 2 * PATCH)[:, :PATCH])


def test_names_and_shapes_are_those_of_the_published_checkpoint():
    width, inner, sizes, most = 384, 1024, 5, 128
    square = (width, width)
    block = {f"self_attn.{name}_proj.weight": square for name in ("q", "k", "v", "out")}
    block |= {f"self_attn.{name}_norm.weight": (64,) for name in ("q", "k")}
    block |= {"self_attn.var_attn_bias.emb.weight": (2, 6), "ffn.fc2.weight": (width, inner)}
    block |= {f"ffn.{name}.weight": (inner, width) for name in ("fc1", "fc_gate")}
    block |= {f"{name}.weight": (width,) for name in ("norm1", "norm2")}
    components = [["df", "loc", "scale"], ["loc"], ["total_count", "logits"], ["loc", "scale"]]
    maps = {
        f"components.{n}.{name}": most for n, names in enumerate(components) for name in names
    } | {"weights_logits": 4 * most}
    head = {f"param_proj.proj.{name}.weight": (sizes, rows, width) for name, rows in maps.items()}
    head |= {f"param_proj.proj.{name}.bias": (sizes, rows) for name, rows in maps.items()}
    expected = {"mask_encoding.weight": (1, width), "encoder.norm.weight": (width,)}
    expected |= {"in_proj.weight": (sizes, width, most), "in_proj.bias": (sizes, width)}
    expected |= {f"encoder.layers.{n}.{k}": v for n in range(6) for k, v in block.items()} | head
    assert names_and_shapes("moirai", {"d_model": 384, "num_layers": 6}) == expected


def test_the_saved_config_is_the_librarys():
    config = tiny().library_config()
    assert set(config) == {
        "d_model", "num_layers", "patch_sizes", "max_seq_len", "attn_dropout_p", "dropout_p",
        "scaling", "distr_output",
    }  # fmt: skip
    targets = [one["_target_"] for one in config["distr_output"]["components"]]
    assert targets[2] == "uni2ts.distribution.negative_binomial.NegativeBinomialOutput"


def test_the_mean_is_that_of_the_samples():
    with torch.no_grad():
        mixture = tiny().backbone(windows(2)[:, :CONTEXT], HORIZON, PATCH)
        torch.manual_seed(0)
        samples = mixture.sample(20_000)
    error = samples.std(0) / len(samples) ** 0.5
    assert (abs(samples.mean(0) - mixture.mean) < 5 * error + 1e-3).all()


def test_the_density_is_that_of_the_four_distributions():
    with torch.no_grad():
        mixture = tiny().backbone(windows(2)[:, :CONTEXT], 1, PATCH)
    student, narrow, binomial, lognormal = mixture.components
    value = 2.0  # above 0, so that all four count; whole, where scipy's binomial is defined
    numbers = [float(one[0, 0]) for one in (student.df, student.loc, student.scale)]
    densities = [
        stats.t.pdf(value, *numbers),
        stats.norm.pdf(value, float(narrow.loc[0, 0]), 1e-3),
        stats.nbinom.pmf(
            value, float(binomial.total_count[0, 0]), float(torch.sigmoid(-binomial.logits[0, 0]))
        ),
        stats.lognorm.pdf(
            value, float(lognormal.scale[0, 0]), scale=float(lognormal.loc[0, 0].exp())
        ),
    ]
    expected = float(mixture.logits.softmax(-1)[0, 0] @ torch.tensor(densities).float())
    log_density = mixture.log_prob(mixture.loc + value * mixture.scale) + mixture.scale.log()
    found = float(log_density[0, 0].exp())
    assert found == pytest.approx(expected, rel=1e-4)


def test_values_outside_a_support_have_a_finite_loss_and_gradient():
    model = tiny()
    window = -windows()  # mostly below the mean and below 0: only two of four can be
    model.outputs(window).loss.backward()
    assert all(torch.isfinite(one.grad).all() for one in model.parameters() if one.grad is not None)


def test_heavy_tails_cannot_make_a_forecast_infinite():
    model = tiny()
    with torch.no_grad():
        for name in ("components.3.scale", "components.2.logits", "components.3.loc"):
            model.backbone.param_proj.get_submodule(f"proj.{name}").bias += 1e4
    context = windows()[:, :CONTEXT]
    found = model.forecast(context, HORIZON)
    found.mean.sum().backward()
    assert torch.isfinite(found.mean).all()
    assert abs(found.mean).max() < 20 * 3 * LIMIT
    assert all(torch.isfinite(values).all() for values in found.quantiles.values())
    assert all(torch.isfinite(one.grad).all() for one in model.parameters() if one.grad is not None)


def test_quantiles_are_drawn_alike_every_time_and_leave_the_generator_alone():
    model, context = tiny({"patch_size": PATCH, "samples": 50}), windows()[:, :CONTEXT]
    with torch.no_grad():
        one, other = model.forecast(context, HORIZON), model.forecast(context, HORIZON)
    before = torch.random.get_rng_state()
    assert torch.equal(one.quantiles[0.1], other.quantiles[0.1])
    assert torch.equal(torch.random.get_rng_state(), before)
    assert (one.quantiles[0.1] <= one.quantiles[0.5]).all()
    assert (one.quantiles[0.5] <= one.quantiles[0.9]).all()
    assert len(one.quantiles) == 9


def test_quantiles_lie_between_draws_as_torchs():
    model, context = tiny({"patch_size": PATCH, "samples": 7}), windows()[:, :CONTEXT]
    with torch.no_grad():
        found = model.forecast(context, HORIZON).quantiles
        torch.manual_seed(SEED)
        samples = found.mixture.sample(7)
    for level in LEVELS:
        torch.testing.assert_close(found[level], torch.quantile(samples, level, dim=0))


def test_more_samples_are_other_quantiles():
    few, many = tiny({"samples": 10, "patch_size": 8}), tiny({"samples": 500, "patch_size": 8})
    context = windows()[:, :CONTEXT]
    with torch.no_grad():
        found = [model.forecast(context, HORIZON).quantiles[0.9] for model in (few, many)]
    assert not torch.equal(*found)


def test_the_patch_size_is_an_option():
    context = windows()[:, :CONTEXT]
    models = [tiny({"patch_size": size}) for size in SHAPE["patch_sizes"]]
    with torch.no_grad():
        first, second = (model.forecast(context, HORIZON).mean for model in models)
    assert not torch.allclose(first, second)
    assert tiny({}).patch == 16
    assert tiny({}, patch_sizes=[64, 128]).patch == 64


def test_parameters_of_other_patch_sizes_do_not_count_as_used():
    model = tiny({"patch_size": 16})
    model.forecast(windows()[:, :CONTEXT], HORIZON).mean.sum().backward()
    counts = model.parameter_counts()
    assert counts["used"] < counts["all"] - 64 * (8 + 1)


def test_a_small_patch_has_the_first_rows_of_weights_and_every_bias():
    """A quirk of the library that its checkpoints were trained with."""
    layer = SizedOutput(4, [2, 4], dim=3)
    with torch.no_grad():
        layer.bias[0] = torch.arange(12.0)
    hidden = torch.ones(1, 1, 4)
    found = layer(hidden, 2)  # [1, 2, 3]
    whole = torch.cat([hidden[0, 0] @ layer.weight[0, :6].T, torch.zeros(6)]) + layer.bias[0]
    torch.testing.assert_close(found[0], whole.reshape(3, 4)[:, :2].T)


def test_time_begins_with_the_first_observed_token():
    seen = torch.tensor([[0, 0, 1, 0, 1], [0, 0, 0, 0, 0]], dtype=torch.bool)[..., None]
    assert time_ids(seen).tolist() == [[0, 0, 0, 1, 2], [0, 0, 0, 0, 0]]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"patch_size": 7}, "options.patch_size: the model has patches of"),
        ({"patch_size": "auto"}, "options.patch_size: must be a whole number"),
        ({"samples": 0}, "options.samples: must be a whole number from 1"),
        ({"samples": True}, "options.samples: must be a whole number from 1"),
        ({"draws": 3}, "options: moirai has patch_size, samples; got 'draws'"),
    ],
)
def test_options_are_checked(options, message):
    with pytest.raises(ParamsError, match=message):
        tiny(options)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"d_model": 96}, "d_model must be a multiple of 64"),
        ({"distr_output": {"_target_": "uni2ts.distribution.StudentTOutput"}}, "must be a mixture"),
        ({"distr_output": {"components": [{"_target_": "os.system"}]}}, "got system"),
    ],
)
def test_configs_are_checked(changes, message):
    with pytest.raises(ParamsError, match=message):
        tiny(**changes)


def test_a_config_without_depth_is_told():
    with pytest.raises(ParamsError, match="moirai needs `num_layers`"):
        zoo_class("moirai").complete({"d_model": 64})


def test_training_without_kept_activations_has_the_same_gradients():
    grads = []
    for keep in (True, False):
        model = tiny().train()
        if not keep:
            model.checkpoint_activations()
        model.outputs(windows()).loss.backward()
        grads.append(model.backbone.encoder.layers[0].ffn.fc1.weight.grad)
    torch.testing.assert_close(*grads)

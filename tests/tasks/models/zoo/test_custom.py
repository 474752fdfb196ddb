"""Any transformers model: its stacks are found or named, its functions are the user's own."""

from pathlib import Path

import pytest
import torch
import transformers
from torch import Tensor
from transformers import PatchTSMixerConfig, PatchTSMixerForPrediction

import tasks.custom
from tasks.errors import CheckpointError, ParamsError
from tasks.models.build import build_model
from tasks.models.locate import stacks_of
from tasks.models.registry import load_model
from tasks.models.stacks import Stack
from tasks.models.zoo.custom import Custom
from tasks.models.zoo.family import ZooModel
from tasks.models.zoo.own_functions import own_function
from tasks.sections.data import Windows
from tasks.sections.zoo import ZooEntry
from tasks.training.parts import frozen_names
from tests.tasks.models.zoo.contract import CONTEXT, HORIZON, Contract, windows
from tests.tasks.models.zoo.custom_functions import put_in_place
from tests.tasks.models.zoo.library_shapes import MIXER, T5, TRANSFORMER, TWO_STACKS

FUNCTIONS = "custom_functions"
WINDOWS = Windows(context=CONTEXT, horizon=HORIZON)
MIXER_OPTIONS = {
    "model": "PatchTSMixerForPrediction",
    "forecast": f"{FUNCTIONS}:mixer_forecast",
    "loss": f"{FUNCTIONS}:mixer_loss",
}
TRANSFORMER_OPTIONS = {
    "model": "TimeSeriesTransformerForPrediction",
    "forecast": f"{FUNCTIONS}:transformer_forecast",
    "loss": f"{FUNCTIONS}:transformer_loss",
}


@pytest.fixture(autouse=True, scope="module")
def _own_functions():
    with pytest.MonkeyPatch.context() as patch:
        put_in_place(patch)
        yield


def tiny(shape: dict = MIXER, options: dict = MIXER_OPTIONS, **changes: object) -> Custom:
    torch.manual_seed(0)
    model = Custom.create(
        shape,
        WINDOWS,
        family="custom",
        origin="random initialisation",
        options=options | changes,
    )
    return model.eval()


class CustomContract(Contract):
    SHAPE: dict
    OPTIONS: dict
    longest = 1  # the function is asked for the config's horizon at once

    def build(self) -> ZooModel:
        return tiny(self.SHAPE, self.OPTIONS)

    def stacks_of_checkpoint(self, model: ZooModel, folder: Path) -> tuple[Stack, ...]:
        """They are found in a model, not in a checkpoint."""
        with pytest.raises(ParamsError, match=r"finds its blocks in a model, not in a checkpoint"):
            stacks_of("custom")
        return model.stacks

    def upstream_forecast(self, folder: Path, context: Tensor, horizon: int) -> Tensor:
        kind = getattr(transformers, self.OPTIONS["model"])
        module, info = kind.from_pretrained(folder, output_loading_info=True)
        assert {key: value for key, value in info.items() if value} == {}
        forecast = own_function(self.OPTIONS["forecast"], "forecast")
        with torch.no_grad():
            return forecast(module.eval(), context, horizon)


class TestPatchTsMixer(CustomContract):
    SHAPE, OPTIONS = MIXER, MIXER_OPTIONS


class TestTimeSeriesTransformer(CustomContract):
    """An encoder and a decoder."""

    SHAPE, OPTIONS = TRANSFORMER, TRANSFORMER_OPTIONS


def test_both_stacks_of_an_encoder_and_a_decoder_are_found():
    model = tiny(TRANSFORMER, TRANSFORMER_OPTIONS)
    assert [(stack.path, stack.depth) for stack in model.stacks] == TWO_STACKS
    assert model.kept == (0, 1, 2, 3, 4)


def test_the_position_bias_of_a_t5_moves_to_the_new_first_block():
    stacks = [{"path": "encoder.block", "depth": "num_layers"}]
    model = tiny(
        T5, {"model": "T5EncoderModel", "forecast": MIXER_OPTIONS["forecast"]}, stacks=stacks
    )
    bias = "layer.0.SelfAttention.relative_attention_bias.weight"
    smaller = model.with_blocks([1, 2])
    assert torch.equal(
        smaller.backbone.encoder.block[0].state_dict()[bias],
        model.backbone.encoder.block[0].state_dict()[bias],
    )


@pytest.mark.parametrize(
    ("stack", "message"),
    [
        (
            {"path": "model.encoder", "depth": "num_layers"},
            r"stacks.0.path: PatchTSMixerForPrediction has no ModuleList 'model.encoder'; lists of "
            r"alike blocks: model.encoder.mlp_mixer_encoder.mixers",
        ),
        (
            {"path": "model.encoder.mlp_mixer_encoder.mixers", "depth": "d_model"},
            r"stacks.0.depth: must be the config field with the 4 blocks of .*; got 'd_model', "
            r"which holds 16; fields with that number: expansion_factor, num_layers",
        ),
        (
            {"path": "model.encoder.mlp_mixer_encoder.mixers", "depth": "layers"},
            r"got 'layers', which holds None",
        ),
        (
            {"path": "model.encoder.mlp_mixer_encoder.mixers", "depth": "expansion_factor"},
            r"with fewer blocks, by expansion_factor, is not the same model",
        ),
        ({"depth": "num_layers"}, "options.stacks.0.path is missing; add it"),
        ({"path": "a", "depth": "b", "kind": "c"}, "there is no options.stacks.0.kind; options:"),
    ],
)
def test_named_stacks_that_do_not_fit_are_one_clear_line(stack, message):
    shape = MIXER | {"expansion_factor": 4}
    with pytest.raises(ParamsError, match=message) as caught:
        tiny(shape, stacks=[stack])
    assert "\n" not in str(caught.value)


def test_named_stacks_are_taken_and_kept():
    stack = {"path": "model.encoder.mlp_mixer_encoder.mixers", "depth": "num_layers"}
    assert tiny(stacks=[stack]).stacks == tiny().stacks


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"forecast": None}, "options.forecast: Input should be a valid string; got None"),
        ({"forecasts": "a:b"}, "there is no options.forecasts; options: model, forecast, loss"),
        ({"model": "PatchTSMixerForForecast"}, "did you mean PatchTSMixerFor"),
        (
            {"model": "PatchTSMixerConfig"},
            "must be a model class of .*; got 'PatchTS",
        ),
        ({"forecast": "os.system"}, "options.forecast must be module:function, .*; got 'os.sy"),
        ({"forecast": "os:system"}, "options.forecast: there is no file tasks/custom/os.py"),
        (
            {"loss": "nowhere.at_all:loss"},
            "options.loss: there is no file tasks/custom/nowhere/at_all.py",
        ),
        ({"forecast": f"{FUNCTIONS}:fore"}, "custom_functions.py has no function 'fore'; write it"),
        ({"forecast": f"{FUNCTIONS}:NOT_A_FUNCTION"}, "has no function 'NOT_A_FUNCTION'"),
    ],
)
def test_wrong_options_are_one_clear_line(options, message):
    with pytest.raises(ParamsError, match=message) as caught:
        tiny(**options)
    assert "\n" not in str(caught.value)


def test_a_model_must_be_named_where_the_checkpoint_does_not():
    with pytest.raises(ParamsError, match=r"options\.model must be .*; got None"):
        tiny(model=None)


def test_a_shape_that_transformers_refuses_is_one_clear_line():
    with pytest.raises(ParamsError, match="custom: transformers' PatchTSMixerConfig refuses"):
        tiny(MIXER | {"d_model": "wide"})


@pytest.mark.parametrize(
    ("option", "function", "message"),
    [
        (
            "forecast",
            "wrong_shape",
            r"a tensor \[B, horizon\], here \(4, 16\); got \(4, 15",
        ),
        ("forecast", "no_tensor", r"must return a tensor .*; got list"),
        ("loss", "no_tensor", "must return a tensor without dimensions; got list"),
        ("loss", "loss_per_window", r"must return a tensor without dimensions; got \(4,\)"),
    ],
)
def test_what_functions_return_is_checked(option, function, message):
    model = tiny(**{option: f"{FUNCTIONS}:{function}"})
    with pytest.raises(ParamsError, match=message):
        model.outputs(windows())


@pytest.fixture
def custom_folder(tmp_path, monkeypatch):
    """In place of tasks/custom/."""
    monkeypatch.setattr(tasks.custom, "__path__", [str(tmp_path)])
    return tmp_path


def test_a_file_may_use_others_of_the_folder(custom_folder):
    (custom_folder / "helpers_here.py").write_text("FACTOR = 3\n")
    (custom_folder / "made_here.py").write_text(
        "from tasks.custom.helpers_here import FACTOR\ndef forecast(x):\n    return FACTOR * x\n"
    )
    assert own_function("made_here:forecast", "forecast")(2) == 6


def test_code_outside_the_folder_is_never_run(custom_folder):
    (custom_folder.parent / "evil.py").write_text("raise SystemExit('it was run')")
    for name in ("evil:forecast", "..evil:forecast", "json:loads"):
        with pytest.raises(ParamsError, match=r"no file tasks/custom/|must be module:function"):
            own_function(name, "forecast")


def test_a_module_that_cannot_be_imported_says_why(custom_folder):
    (custom_folder / "broken_here.py").write_text("import not_there_at_all\n")
    with pytest.raises(ParamsError, match="cannot be imported: ModuleNotFoundError"):
        own_function("broken_here:forecast", "forecast")


def entry(folder: Path, **options: object) -> ZooEntry:
    start = {"kind": "folder", "path": str(folder)}
    return ZooEntry.model_validate({"family": "custom", "start": start, "options": options})


@pytest.fixture
def checkpoint(tmp_path):
    torch.manual_seed(0)
    PatchTSMixerForPrediction(PatchTSMixerConfig(**MIXER)).save_pretrained(
        tmp_path, max_shard_size="8KB"
    )
    assert len(list(tmp_path.glob("*.safetensors"))) > 1
    return tmp_path


def test_a_checkpoint_is_imported_by_the_class_that_it_names(checkpoint):
    mixer = MIXER_OPTIONS["forecast"]
    model, _ = build_model(
        entry(checkpoint, forecast=mixer), None, WINDOWS, seed=1, pretrained=checkpoint
    )
    source = PatchTSMixerForPrediction.from_pretrained(checkpoint).state_dict()
    assert all(torch.equal(source[n], t) for n, t in model.backbone.state_dict().items())
    assert model.label == f"PatchTSMixerForPrediction, {checkpoint}"
    model.save(checkpoint / "saved")
    assert load_model(checkpoint / "saved").stacks == model.stacks


def test_a_checkpoint_of_another_model_is_refused(checkpoint):
    other = entry(checkpoint, forecast=MIXER_OPTIONS["forecast"], model="PatchTSMixerModel")
    with pytest.raises(CheckpointError, match=r"not a whole custom checkpoint: .*Missing key"):
        build_model(other, None, WINDOWS, seed=1, pretrained=checkpoint)


def test_the_tail_is_what_runs_after_the_last_block():
    for shape, options in ((MIXER, MIXER_OPTIONS), (TRANSFORMER, TRANSFORMER_OPTIONS)):
        model = tiny(shape, options)
        frozen = frozen_names(model, "head_and_last")
        tuned = {n for n, _ in model.named_parameters() if n not in frozen}
        last = f"backbone.{model.stacks[-1].path}.{model.stack_sizes[-1] - 1}."
        assert {n for n in tuned if not n.startswith(last)} == (
            {"backbone.head.base_forecast_block.weight", "backbone.head.base_forecast_block.bias"}
            if shape is MIXER
            else {n for n in tuned if n.startswith("backbone.parameter_projection.")}
        )
        assert any(n.startswith(last) for n in tuned)


def test_activation_checkpointing_is_refused_where_the_model_cannot_do_it():
    with pytest.raises(ParamsError, match="activation_checkpointing: custom cannot do it"):
        tiny().checkpoint_activations()

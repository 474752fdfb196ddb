"""Where the blocks of a model are: found in models of transformers and in made-up ones."""

import pytest
import torch
from torch import nn

from tasks.errors import ParamsError
from tasks.models.backbones import STACKS
from tasks.models.stacks import Stack
from tasks.models.zoo.custom import Custom
from tasks.models.zoo.discovery import alike_lists, depth_of, find_stacks
from tasks.models.zoo.t5 import T5_STACKS
from tests.tasks.models.zoo.library_shapes import (
    GPT2,
    PATCH,
    T5,
    TEXT,
    TIMESFM,
    TRANSFORMER,
    TWO_STACKS,
)


@pytest.mark.parametrize(
    ("name", "shape", "expected"),
    [
        ("GPT2Model", GPT2, [("h", "n_layer")]),
        ("GPT2LMHeadModel", GPT2, [("transformer.h", "n_layer")]),
        ("LlamaModel", TEXT, [("layers", "num_hidden_layers")]),
        ("Qwen3ForCausalLM", TEXT, [("model.layers", "num_hidden_layers")]),
        ("T5EncoderModel", T5, [("encoder.block", "num_layers")]),
        (
            "T5ForConditionalGeneration",
            T5,
            [("encoder.block", "num_layers"), ("decoder.block", "num_decoder_layers")],
        ),
        ("PatchTSTForPrediction", PATCH, [("model.encoder.layers", "num_hidden_layers")]),
        ("TimesFmModelForPrediction", TIMESFM, [("decoder.layers", "num_hidden_layers")]),
        (
            "InformerForPrediction",
            TRANSFORMER | {"encoder_layers": 4, "distil": False},
            TWO_STACKS,
        ),
        (
            "AutoformerForPrediction",
            TRANSFORMER | {"encoder_layers": 4},
            TWO_STACKS,
        ),
        (
            "MixtralModel",  # every block holds a list of experts
            TEXT | {"num_local_experts": 3},
            [("layers", "num_hidden_layers")],
        ),
    ],
)
def test_the_stacks_of_known_models_are_found(name, shape, expected):
    whole = Custom.complete(shape | {"architectures": [name]})
    found = find_stacks(Custom.build_backbone, whole, name)
    assert [(stack.path, stack.depth) for stack in found] == expected
    for stack in found:
        count = len(Custom.build_backbone(whole).get_submodule(stack.path))
        assert depth_of(whole, stack) == count


def test_a_stack_is_refused_whose_layers_have_tensors_outside_it():
    """Informer's encoder has a convolution behind each block but the last, in a list of its own."""
    whole = Custom.complete(TRANSFORMER | {"architectures": ["InformerForPrediction"]})
    with pytest.raises(ParamsError, match=r"encoder\.layers \(3 blocks, .* depth in no field\)"):
        find_stacks(Custom.build_backbone, whole, "InformerForPrediction")


def test_what_is_found_agrees_with_what_the_families_say():
    def found(name: str, shape: dict) -> tuple[Stack, ...]:
        whole = Custom.complete(shape | {"architectures": [name]})
        return find_stacks(Custom.build_backbone, whole, name)

    shapes = {
        "gpt2": ("GPT2Model", GPT2),
        "llama": ("LlamaModel", TEXT),
        "qwen3": ("Qwen3Model", TEXT),
    }
    for backbone, (name, shape) in shapes.items():
        (stack,), said = found(name, shape), STACKS[backbone]
        assert (stack.path, stack.depth, stack.per_layer) == (said.path, said.depth, said.per_layer)
    for stack, said in zip(found("T5ForConditionalGeneration", T5), T5_STACKS, strict=True):
        assert (stack.path, stack.depth) == (said.path, said.depth)
        assert stack.carried == ("layer.0.SelfAttention.relative_attention_bias.weight",)


class Decoyed(nn.Module):
    """A stack, a decoy with a depth field of its own, and a list of linear maps."""

    def __init__(self, data):
        super().__init__()

        def block(width: int) -> nn.Module:
            return nn.Sequential(nn.LayerNorm(width), nn.Linear(width, width))

        self.layers = nn.ModuleList(block(8) for _ in range(data["depth"]))
        self.loss = nn.ModuleList(block(data["loss_width"]) for _ in range(data["loss_depth"]))
        self.heads = nn.ModuleList(nn.Linear(8, 80) for _ in range(4))


@pytest.mark.parametrize(("width", "is_clear"), [(8, False), (20, False), (2, True)])
def test_a_decoy_is_told_apart_by_its_size_or_asked_about(width, is_clear):
    data = {"depth": 3, "loss_depth": 2, "loss_width": width, "heads": 3}
    if is_clear:
        (stack,) = find_stacks(Decoyed, data, "Decoyed")
        assert (stack.path, stack.depth) == ("layers", "depth")
        return
    with pytest.raises(ParamsError) as caught:
        find_stacks(Decoyed, data, "Decoyed")
    message = str(caught.value)
    assert "layers (3 blocks, 264 parameters, depth depth)" in message
    assert "loss (2 blocks, " in message
    assert "heads" not in message
    assert "options: {stacks: [{path: " in message
    assert "\n" not in message


def test_a_field_with_the_same_number_is_not_taken_for_the_depth():
    data = {"heads": 3, "depth": 3, "loss_depth": 2, "loss_width": 2, "inner": {"width": 3}}
    (stack,) = find_stacks(Decoyed, data, "Decoyed")
    assert stack.depth == "depth"


class Fixed(nn.Module):
    """Blocks whose number no config field says."""

    def __init__(self, data):
        super().__init__()
        self.layers = nn.ModuleList(nn.Sequential(nn.Linear(4, 4)) for _ in range(3))


def test_a_depth_that_no_field_says_is_asked_for():
    with pytest.raises(
        ParamsError, match=r"layers \(3 blocks, .* depth in no field\).*CONFIG_FIELD"
    ):
        find_stacks(Fixed, {"depth": 3}, "Fixed")


def test_a_model_without_blocks_is_one_clear_line():
    with pytest.raises(ParamsError, match="Linear has no list of alike blocks; name it: options:"):
        find_stacks(lambda _data: nn.Linear(2, 2), {}, "Linear")


def test_lists_inside_blocks_and_lists_with_holes_are_no_stacks():
    blocks = [
        nn.ModuleDict({"experts": nn.ModuleList(nn.Sequential(nn.Linear(9, 9)) for _ in range(4))})
        for _ in range(2)
    ]
    model = nn.ModuleDict(
        {"layers": nn.ModuleList(blocks), "holes": nn.ModuleList([nn.ReLU(), None])}
    )
    assert [one.path for one in alike_lists(model)] == ["layers"]


def test_a_model_that_reads_values_while_it_is_built_is_found_too():
    def build(data):
        rates = [rate.item() for rate in torch.linspace(0, 1, data["depth"])]
        model = nn.Module()
        model.layers = nn.ModuleList(nn.Sequential(nn.Linear(2, 2)) for _ in rates)
        return model

    before = torch.get_rng_state()
    (stack,) = find_stacks(build, {"depth": 3}, "Reading")
    assert stack.depth == "depth"
    assert torch.equal(torch.get_rng_state(), before)

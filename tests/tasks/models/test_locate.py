"""Families by their config.json, and stacks by the names of a checkpoint's tensors."""

from pathlib import Path

import pytest

from tasks.errors import CheckpointError, ParamsError
from tasks.models.backbones import STACKS
from tasks.models.locate import family_of, locate, stacks_of
from tasks.models.stacks import Stack

HERE = Path("folder")


@pytest.mark.parametrize(
    ("config", "family"),
    [
        ({"model_type": "gpt2", "architectures": ["GPT2LMHeadModel"]}, "gpt2"),
        ({"model_type": "llama"}, "llama"),
        ({"model_type": "qwen3", "architectures": None}, "qwen3"),
        ({"model_type": "timesfm"}, "timesfm2"),
        ({"model_type": "timesfm2_5"}, "timesfm2_5"),
        ({"model_type": "t5", "architectures": ["ChronosBoltModelForForecasting"]}, "chronos_bolt"),
        ({"model_type": "t5", "architectures": ["Chronos2Model"]}, "chronos2"),
        ({"model_type": "t5", "chronos_config": {}, "architectures": ["T5X"]}, "chronos_t5"),
    ],
)
def test_a_config_tells_its_family(config, family):
    assert family_of(config, HERE) == family


@pytest.mark.parametrize("config", [{}, {"model_type": "t5"}, {"model_type": "mamba"}])
def test_an_unknown_config_asks_for_the_family(config):
    with pytest.raises(ParamsError, match=r"folder: no family is known by .*; name one: --family"):
        family_of(config, HERE)


def test_stacks_of_a_backbone_and_of_a_published_family():
    assert stacks_of("qwen3") == (STACKS["qwen3"],)
    pytest.importorskip("chronos")
    assert [stack.path for stack in stacks_of("chronos_bolt")] == ["encoder.block", "decoder.block"]


def test_a_family_that_does_not_exist_is_refused():
    with pytest.raises(ParamsError, match=r"there is no family 'gpt3'; families: gpt2, "):
        stacks_of("gpt3")


def stack(path: str = "layers", depth: str = "depth") -> Stack:
    return Stack(path=path, depth=depth, norm="norm")


def names(prefix: str, numbers: range | list[int]) -> list[str]:
    return [
        f"{prefix}.{number}.{part}.weight" for number in numbers for part in ("a", "b.layers.7")
    ]


@pytest.mark.parametrize("prefix", ["layers", "model.layers", "a.b.layers"])
@pytest.mark.parametrize("config", [{"depth": 12}, {"depth": None}, {}])
def test_a_stack_lies_below_any_prefix(prefix, config):
    [found] = locate([stack()], ["norm.weight", *names(prefix, range(12))], config, HERE)
    assert (found.stack.path, found.size) == (prefix, 12)


def test_part_of_a_name_is_no_path():
    with pytest.raises(CheckpointError, match=r"folder: no tensor is named h.0. ..., where this"):
        locate([stack("h")], names("mlp_h", range(2)), {}, HERE)


def test_blocks_in_several_places_are_refused():
    both = names("encoder.layers", range(2)) + names("decoder.layers", range(2))
    with pytest.raises(CheckpointError, match=r"in several places: decoder.layers, encoder.layers"):
        locate([stack()], both, {}, HERE)
    found = locate([stack("encoder.layers"), stack("decoder.layers")], both, {}, HERE)
    assert [one.size for one in found] == [2, 2]


@pytest.mark.parametrize(
    ("numbers", "config", "message"),
    [
        ([0, 1, 3], {"depth": 4}, r"says depth: 4, layers holds 3 blocks and lacks 2; fetch"),
        ([0, 1, 3], {}, r"says depth: None, layers holds 3 blocks and lacks 2; fetch"),
        ([0, 1, 2], {"depth": 2}, r"says depth: 2, layers holds 3 blocks; fetch"),
    ],
)
def test_blocks_and_depth_must_agree(numbers, config, message):
    with pytest.raises(CheckpointError, match=message):
        locate([stack()], names("layers", numbers), config, HERE)


@pytest.mark.parametrize("config", [{}, {"inner": None}, {"inner": {"depth": "many"}}])
def test_a_config_without_the_depths_place_is_refused(config):
    with pytest.raises(CheckpointError, match=r"config.json: has no depth inner.depth; name the"):
        locate([stack(depth="inner.depth")], names("layers", range(2)), config, HERE)

"""A native model that drops sublayers: the attention and the MLP of every block, each alone.

To whatever works with blocks it is a model with twice as many: number 2 i is the attention of
block i, number 2 i + 1 its MLP, in the order of the residual stream. So masks, walks, scores,
healing and null panel are those of any model.

On disk the parts are put back into blocks, an MLP behind the attention that comes before it, so
that transformers can load `backbone/`. A block there that lacks a part has zeros for its weights,
which add nothing to the residual stream; only here nothing is kept or computed for it.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, Self

import torch
from jaxtyping import Float
from pydantic import model_validator
from torch import Tensor, nn
from transformers.modeling_layers import GradientCheckpointingLayer

from tasks.errors import MaskError
from tasks.models.backbones import STACKS, build_backbone
from tasks.models.native import NativeConfig, NativeModel
from tasks.models.stacks import BlockKind, Part, check_keep, keep_config
from tasks.models.unfilled import Unfilled, move_unfilled


class Sublayer(GradientCheckpointingLayer):
    """One part of a transformers block with the norm before it, called as the block would be."""

    def __init__(self, block: nn.Module, part: Part) -> None:
        """Takes the part's modules from `block`, under the same names."""
        super().__init__()
        self.part = part
        for name in (part.norm, part.name):
            self.add_module(name, block.get_submodule(name))

    def forward(
        self, hidden_states: Float[Tensor, "batch tokens width"], *args: Any, **kwargs: Any
    ) -> Float[Tensor, "batch tokens width"]:
        """The residual stream after the part."""
        normed = getattr(self, self.part.norm)(hidden_states)
        module = getattr(self, self.part.name)
        is_attention = self.part.kind == "attention"
        update: Tensor = module(normed, *args, **kwargs)[0] if is_attention else module(normed)
        return hidden_states + update


@dataclass(frozen=True)
class Place:
    """Where a sublayer lies in the stored backbone: block number, and which part of it."""

    block: int
    part: int


def places_of(kept: Sequence[int], num_parts: int) -> list[Place]:
    """The places of sublayers that are put back into as few blocks as their order allows.

    Args:
        kept: original numbers of the sublayers, ascending.
        num_parts: of a whole block.
    """
    places: list[Place] = []
    for number in kept:
        part = number % num_parts
        last = places[-1] if places else Place(-1, num_parts)
        places.append(Place(last.block + (part <= last.part), part))
    return places


class SublayerConfig(NativeConfig):
    """config.json of a model that drops sublayers; `kept` are the numbers of its sublayers.

    `backbone_config` is that of the stored backbone, whose blocks may lack a part.
    """

    granularity: Literal["sublayer"] = "sublayer"

    @model_validator(mode="after")
    def _blocks_hold_the_sublayers(self) -> Self:
        stack = STACKS[self.backbone]
        places = places_of(self.kept, len(stack.parts))
        needed, depth = len({place.block for place in places}), self.backbone_config[stack.depth]
        if needed != depth:
            raise ValueError(f"sublayers {self.kept} take {needed} blocks, not {depth}")
        return self


class SublayerModel(NativeModel):
    """A native model whose blocks, in every method, are sublayers."""

    CONFIG: ClassVar[type[NativeConfig]] = SublayerConfig

    def __init__(self, config: NativeConfig) -> None:
        """Builds with random weights from torch's global seed."""
        super().__init__(config)
        self.places = places_of(config.kept, len(self.stack.parts))
        blocks = self._modules_of(self.stack)
        self._set_modules_of(
            self.stack,
            nn.ModuleList(
                Sublayer(blocks[place.block], self.stack.parts[place.part]) for place in self.places
            ),
        )
        holders = [place.block for place in self.places]
        fields = (self.stack.depth, *self.stack.per_layer)
        ours = keep_config(config.backbone_config, self.stack, holders)
        for field in fields:
            setattr(self.backbone.config, field, ours[field])

    def sublayers(self) -> dict[BlockKind, Sequence[nn.Module]]:
        """Empty: a sublayer has no parts."""
        return {}

    def block_kinds(self) -> list[BlockKind]:
        """What every sublayer is."""
        return [self.stack.parts[place.part].kind for place in self.places]

    def config_of(self, keep: Sequence[int]) -> Any:
        """The config of the model that keeps these sublayers."""
        keep = check_keep(keep, self.num_blocks, "the model")
        kept = places_of([self.kept[index] for index in keep], len(self.stack.parts))
        holders: dict[int, int] = {}  # by new block the one that its first part lies in now
        for index, place in zip(keep, kept, strict=True):
            holders.setdefault(place.block, self.places[index].block)
        data = keep_config(self.config.backbone_config, self.stack, list(holders.values()))
        numbers = tuple(self.kept[index] for index in keep)
        return self.config.model_copy(update={"backbone_config": data, "kept": numbers})

    def _stored_names(self) -> Iterator[tuple[str, str]]:
        """Every tensor's name here and in a model folder."""
        prefix = f"backbone.{self.stack.path}."
        for name in self.state_dict():
            stored = name
            if name.startswith(prefix):
                number, rest = name.removeprefix(prefix).split(".", 1)
                stored = f"{prefix}{self.places[int(number)].block}.{rest}"
            yield name, stored

    def _absent(self) -> dict[str, Tensor]:
        """The tensors, without memory, that only the stored backbone has."""
        with torch.device("meta"):
            backbone = build_backbone(self.config.backbone, self.config.backbone_config)
        stored = {f"backbone.{name}": tensor for name, tensor in backbone.state_dict().items()}
        present = {name for _, name in self._stored_names()}
        return {name: tensor for name, tensor in stored.items() if name not in present}

    def stored_state(self) -> dict[str, Tensor]:
        """The tensors of a model folder: zeros for the parts that were dropped from a block."""
        own = self.state_dict()
        zeros = {name: torch.zeros(t.shape, dtype=t.dtype) for name, t in self._absent().items()}
        return {stored: own[name] for name, stored in self._stored_names()} | zeros

    def load_stored(self, tensors: Mapping[str, Tensor]) -> None:
        """Takes the tensors of a model folder. Raises RuntimeError where they do not fit."""
        left = dict(tensors)
        own = {name: left.pop(stored) for name, stored in self._stored_names() if stored in left}
        for name, expected in self._absent().items():
            found = left.pop(name, None)
            if found is None or found.shape != expected.shape or bool(found.any()):
                raise RuntimeError(f"{name} must be zeros: this part of its block was dropped")
        self.load_state_dict(own | left, strict=True)


def split_blocks(model: NativeModel) -> SublayerModel:
    """The same model with copies of its blocks' parts, each of which can be dropped alone.

    Raises:
        MaskError: the parts of its blocks cannot be dropped alone.
    """
    if isinstance(model, SublayerModel):
        return model
    count = len(model.stack.parts)
    if count == 0:
        raise MaskError(
            f"granularity: sublayer needs blocks whose attention and MLP can be dropped apart; "
            f"those of {model.label} cannot; set granularity: block"
        )
    kept = tuple(block * count + part for block in model.kept for part in range(count))
    with Unfilled():
        split = SublayerModel(SublayerConfig(**(model.config.model_dump() | {"kept": kept})))
    weight = model.embedding.weight
    move_unfilled(split.to(dtype=weight.dtype), weight.device)
    split.load_stored(model.state_dict())
    return split.train(model.training)


def shape_as(model: NativeModel, other: NativeModel) -> NativeModel:
    """`model` with just the parts that `other` has in its stored blocks.

    Args:
        model: has as many blocks as the stored backbone of `other`.
        other: a model of blocks, whose shape is that of `model` already, or of sublayers.
    """
    if not isinstance(other, SublayerModel):
        return model
    count = len(other.stack.parts)
    return split_blocks(model).with_blocks([p.block * count + p.part for p in other.places])


def stored_depth(model: NativeModel) -> int:
    """How many blocks the backbone in the model's folder has, those that lack a part included."""
    return int(model.config.backbone_config[model.stack.depth])

"""Whose checkpoint a folder holds, and where its stacks of blocks lie among its tensors' names."""

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, get_args

from transformers.models.auto.configuration_auto import CONFIG_MAPPING

from tasks.errors import CheckpointError, ParamsError
from tasks.models import detect
from tasks.models.backbones import STACKS
from tasks.models.families import zoo_class
from tasks.models.stacks import Stack, depth_holder
from tasks.models.upstream import checkpoint_config
from tasks.sections.zoo import ZooFamily

FAMILIES = (*STACKS, *get_args(ZooFamily))


@dataclass(frozen=True)
class Located:
    """A stack in a checkpoint: its path there, and how many blocks it has."""

    stack: Stack
    size: int


def is_model_folder(folder: Path) -> bool:
    """Whether a folder is one that a stage wrote around a checkpoint, and not the checkpoint.

    Raises:
        CheckpointError: it has no config.json, or none that can be read.
    """
    return {"config", "sha256"} <= set(checkpoint_config(folder))


def family_of(config: Mapping[str, Any], where: Path) -> str:
    """The family of a checkpoint by its config.json.

    Raises:
        ParamsError: the config names none that is known.
    """
    kind, architectures = config.get("model_type"), config.get("architectures")
    found = detect.family_of(config)
    if found is not None:
        return found
    if kind in STACKS:
        return str(kind)
    raise ParamsError(
        f"{where}: no family is known by model_type {kind!r}, architectures {architectures}; "
        f"name one: --family {'|'.join(FAMILIES)}"
    )


def stacks_of(family: str) -> tuple[Stack, ...]:
    """The stacks of a family, relative to its backbone.

    Raises:
        ParamsError: there is no such family, it needs a package that is not installed, or its
            stacks are not known before a model is built.
    """
    for backbone, stack in STACKS.items():
        if family == backbone:
            return (stack,)
    if family not in FAMILIES:
        raise ParamsError(f"there is no family {family!r}; families: {', '.join(FAMILIES)}")
    stacks = getattr(zoo_class(family), "stacks", None)
    if not isinstance(stacks, tuple) or not stacks:
        raise ParamsError(
            f"family {family!r} finds its blocks in a model, not in a checkpoint; prune it by the "
            "pipeline (an entry under `models:`)"
        )
    return stacks


def locate(
    stacks: Sequence[Stack], names: Collection[str], config: Mapping[str, Any], where: Path
) -> list[Located]:
    """Every stack where it lies in a checkpoint, below a prefix such as `model.` where it has one.

    Args:
        stacks: relative to the backbone.
        names: of the checkpoint's tensors.
        config: its config.json.
        where: the folder, for people.

    Raises:
        CheckpointError: a stack is not there, in several places, or not with all its blocks.
    """
    return [_locate(stack, names, config, where) for stack in stacks]


def _locate(
    stack: Stack, names: Collection[str], config: Mapping[str, Any], where: Path
) -> Located:
    pattern = re.compile(rf"((?:.*?\.)??{re.escape(stack.path)})\.(\d+)\.")
    found: dict[str, set[int]] = {}
    for match in filter(None, map(pattern.match, names)):
        found.setdefault(match[1], set()).add(int(match[2]))
    if not found:
        raise CheckpointError(
            f"{where}: no tensor is named {stack.path}.0. ..., where this family keeps its blocks; "
            "name the family that the checkpoint is of"
        )
    if len(found) > 1:
        raise CheckpointError(
            f"{where}: blocks lie in several places: {', '.join(sorted(found))}; name the family "
            "that the checkpoint is of"
        )
    path, numbers = next(iter(found.items()))
    depth = _depth_in(config, stack, where)
    if numbers != set(range(len(numbers) if depth is None else depth)):
        missing = sorted(set(range(depth or max(numbers))) - numbers)
        raise CheckpointError(
            f"{where}: config.json says {stack.depth}: {depth}, {path} holds {len(numbers)} "
            f"blocks{f' and lacks {missing[0]}' if missing else ''}; fetch it anew"
        )
    return Located(replace(stack, path=path), len(numbers))


def _depth_in(config: Mapping[str, Any], stack: Stack, where: Path) -> int | None:
    """The depth that a config names; None where it leaves that to a default."""
    try:
        holder, field = depth_holder(dict(config), stack)
        depth = holder.get(field)
        return None if depth is None else int(depth)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise CheckpointError(
            f"{where / 'config.json'}: has no depth {stack.depth}; name the family that the "
            "checkpoint is of"
        ) from error


def with_layer_lists(config: Mapping[str, Any], located: Sequence[Located]) -> dict[str, Any]:
    """The config with the per-block lists that its library would derive from the depth.

    Derived anew from the smaller depth they would tell other blocks apart than before, for example
    which of Qwen3's attend through a sliding window. Lists of equal entries are left out.
    """
    whole = dict(config)
    kind = str(whole.get("model_type"))
    fields = {field for one in located for field in one.stack.per_layer if not whole.get(field)}
    if not fields or kind not in CONFIG_MAPPING:
        return whole
    derived = CONFIG_MAPPING[kind].from_dict(whole).to_dict()
    sizes = {one.size for one in located}
    for field in sorted(fields):
        values = derived.get(field)
        if isinstance(values, list) and len(values) in sizes and len(set(values)) > 1:
            whole[field] = values
    return whole

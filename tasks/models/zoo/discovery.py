"""Finds where an unknown transformers model keeps its blocks, and proves it by building smaller.

Blocks lie in a ModuleList of modules that are all alike; the largest such list is the stack, an
encoder's and a decoder's where the config says that there are both. Other large lists (experts'
heads, residual blocks of a loss) look the same, so what is not clear is asked for.

The depth field of a stack is the config field that has its length and that, made smaller by one,
gives the same model with one block less: same names, same shapes, whether the first block goes or
the last.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn

from tasks.errors import ParamsError
from tasks.models.stacks import Stack, keep_config, keep_tensors

Build = Callable[[Mapping[str, Any]], nn.Module]
ALIKE = 0.8  # of the parameters of the largest block
LARGE = 0.1  # of the parameters of the largest list: smaller ones are no rivals to it


@dataclass(frozen=True)
class Candidate:
    """A list of modules that are all alike: where it is, how many, and their parameters."""

    path: str
    count: int
    parameters: int


def alike_lists(module: nn.Module) -> list[Candidate]:
    """The lists of two or more composite modules of one class and nearly one size, largest first.

    A list inside a block of another one (experts) is part of that block and left out.
    """
    found: list[Candidate] = []
    for path, child in module.named_modules():
        inside = any(path.startswith(f"{outer.path}.") for outer in found)
        if inside or not isinstance(child, nn.ModuleList) or len(child) < 2:
            continue
        blocks = list(child)
        if len({type(block) for block in blocks}) > 1 or not list(blocks[0].children()):
            continue
        sizes = [sum(p.numel() for p in block.parameters()) for block in blocks]
        if max(sizes) > 0 and min(sizes) >= ALIKE * max(sizes):
            found.append(Candidate(path, len(blocks), sum(sizes)))
    return sorted(found, key=lambda one: -one.parameters)


def without_memory(build: Build, data: Mapping[str, Any]) -> nn.Module:
    """The model of a config, its tensors without memory where its code allows that."""
    try:
        with torch.device("meta"):
            return build(data)
    except RuntimeError:  # it reads a value while it is built
        with torch.random.fork_rng(devices=[]):
            return build(data)


def find_stacks(build: Build, data: Mapping[str, Any], name: str) -> tuple[Stack, ...]:
    """The stacks of a model, found by their looks.

    Args:
        build: makes the model of a config.
        data: its complete config.
        name: of the model, for messages.

    Raises:
        ParamsError: none, several that may be meant, or no depth field; says what to write.
    """
    module = without_memory(build, data)
    lists = alike_lists(module)
    if not lists:
        raise ParamsError(
            f"custom: {name} has no list of alike blocks; name it: "
            "options: {stacks: [{path: PATH.OF.THE.MODULELIST, depth: CONFIG_FIELD}]}"
        )
    large = [one for one in lists if one.parameters >= LARGE * lists[0].parameters]
    stacks = {one.path: _possible_stacks(build, data, module, one.path) for one in large}
    chosen = large if len(large) == 1 or _is_encoder_and_decoder(large, data) else []
    if not chosen or any(len(stacks[one.path]) != 1 for one in chosen):
        raise ParamsError(_question(name, large, stacks))
    order = [path for path, _ in module.named_modules()]
    chosen.sort(key=lambda one: order.index(one.path))
    return tuple(stacks[one.path][0] for one in chosen)


def check_stacks(
    build: Build, data: Mapping[str, Any], name: str, stacks: Sequence[Stack]
) -> tuple[Stack, ...]:
    """The stacks that a person named, proved like those that are found.

    Args:
        build: makes the model of a config.
        data: its complete config.
        name: of the model, for messages.
        stacks: their paths, depth fields and lists per layer.

    Raises:
        ParamsError: there is no such list or field, or smaller models come out differently.
    """
    module = without_memory(build, data)
    checked: list[Stack] = []
    for place, stack in enumerate(stacks):
        where = f"custom: options.stacks.{place}"
        blocks = dict(module.named_modules()).get(stack.path)
        if not isinstance(blocks, nn.ModuleList):
            lists = ", ".join(one.path for one in alike_lists(module)) or "none"
            raise ParamsError(
                f"{where}.path: {name} has no ModuleList {stack.path!r}; lists of alike blocks: "
                f"{lists}"
            )
        depths = dict(_numbers(data))
        if depths.get(stack.depth) != len(blocks):
            fitting = ", ".join(field for field, value in depths.items() if value == len(blocks))
            raise ParamsError(
                f"{where}.depth: must be the config field with the {len(blocks)} blocks of "
                f"{stack.path}; got {stack.depth!r}, which holds {depths.get(stack.depth)}; "
                f"fields with that number: {fitting or 'none'}"
            )
        carried = stack.carried or _carried(module, stack.path)
        checked.append(replace(stack, carried=carried))
        if not _is_proved(build, data, module, checked[-1]):
            raise ParamsError(
                f"{where}: {name} with fewer blocks, by {stack.depth}, is not the same model with "
                f"blocks left out of {stack.path}; name another depth, or the config's lists with "
                "an entry per block as per_layer"
            )
    return tuple(checked)


def depth_of(data: Mapping[str, Any], stack: Stack) -> int:
    """How many blocks a config gives a stack."""
    return dict(_numbers(data))[stack.depth]


def _possible_stacks(
    build: Build, data: Mapping[str, Any], module: nn.Module, path: str
) -> list[Stack]:
    """One stack for each depth field that is proved."""
    count, carried = _count(module, path), _carried(module, path)
    possible: list[Stack] = []
    for depth, value in _numbers(data):
        if value == count:
            lists = _lists_per_layer(data, depth, count)
            stack = Stack(path=path, depth=depth, norm="", per_layer=lists, carried=carried)
            if _is_proved(build, data, module, stack):
                possible.append(stack)
    return possible


def _count(module: nn.Module, path: str) -> int:
    blocks = module.get_submodule(path)
    assert isinstance(blocks, nn.ModuleList)
    return len(blocks)


def _numbers(data: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, int]]:
    """The config's whole numbers by field; a dot leads into a nested config."""
    for field, value in data.items():
        if isinstance(value, Mapping):
            yield from _numbers(value, f"{prefix}{field}.")
        elif isinstance(value, int) and not isinstance(value, bool):
            yield f"{prefix}{field}", value


def _lists_per_layer(data: Mapping[str, Any], depth: str, count: int) -> tuple[str, ...]:
    holder: Any = data
    for field in depth.split(".")[:-1]:
        holder = holder[field]
    return tuple(
        field
        for field, value in holder.items()
        if isinstance(value, list) and len(value) == count and "layer" in field
    )


def _carried(module: nn.Module, path: str) -> tuple[str, ...]:
    """What only the first block has (T5's position bias), and a new first block must carry."""
    blocks = list(module.get_submodule(path).children())
    if len(blocks) < 2:
        return ()
    others = blocks[1].state_dict()
    return tuple(name for name in blocks[0].state_dict() if name not in others)


def _is_proved(build: Build, data: Mapping[str, Any], module: nn.Module, stack: Stack) -> bool:
    count, state = _count(module, stack.path), module.state_dict()
    for keep in (range(1, count), range(count - 1)):
        try:
            smaller = without_memory(build, keep_config(data, stack, keep)).state_dict()
        except Exception:  # whatever it is, this field is not the depth
            return False
        if _shapes(smaller) != _shapes(keep_tensors(state, stack, keep)):
            return False
    return True


def _shapes(state: Mapping[str, Tensor]) -> dict[str, torch.Size]:
    return {name: tensor.shape for name, tensor in state.items()}


def _is_encoder_and_decoder(large: Sequence[Candidate], data: Mapping[str, Any]) -> bool:
    if not data.get("is_encoder_decoder") or len(large) != 2:
        return False
    encoder, decoder = sorted((one.path for one in large), key=lambda path: "decoder" in path)
    return "encoder" in encoder and encoder.replace("encoder", "decoder") == decoder


def _question(name: str, large: Sequence[Candidate], stacks: Mapping[str, Sequence[Stack]]) -> str:
    lines: list[str] = []
    for one in large:
        fields = " or ".join(stack.depth for stack in stacks[one.path]) or "in no field"
        size = f"{one.count} blocks, {one.parameters} parameters"
        lines.append(f"{one.path} ({size}, depth {fields})")
    example = next((found[0] for found in stacks.values() if found), None)
    depth = example.depth if example else "CONFIG_FIELD"
    path = example.path if example else large[0].path
    return (
        f"custom: which blocks of {name} are to be dropped is not clear: {'; '.join(lines)}; say "
        f"it: options: {{stacks: [{{path: {path}, depth: {depth}}}]}}"
    )

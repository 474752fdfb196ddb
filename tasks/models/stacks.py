"""Where a model keeps its blocks, and how tensors and config follow when some are dropped."""

import copy
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any, Literal, TypeVar

from torch import Tensor, nn

from tasks.errors import MaskError

BlockKind = Literal["block", "attention", "mlp"]
Stored = TypeVar("Stored")  # a tensor, or where one lies


@dataclass(frozen=True, kw_only=True)
class Part:
    """A sublayer of a block: its output, of the normed stream, is added to the residual stream.

    Attributes:
        kind: attention, or MLP.
        norm: name inside the block of the norm before it.
        name: name inside the block of its module.
        output: path inside the block of its last linear map.
    """

    kind: BlockKind
    norm: str
    name: str
    output: str


@dataclass(frozen=True, kw_only=True)
class Stack:
    """One stack of blocks.

    Attributes:
        path: dotted path of the ModuleList inside the backbone.
        depth: config field with the number of blocks; a dot leads into a nested config.
        also: config fields beside it that have to say the same number.
        norm: dotted path of the module that follows the last block.
        per_layer: config lists with one entry per block.
        carried: parts of parameter names that live in block 0 only and move to the new block 0.
        output: path inside a block of its last linear map; empty where there is none or where
            `parts` say it.
        parts: all that a block does, in the order of the residual stream; empty where the parts
            of a block cannot be dropped alone.
    """

    path: str
    depth: str
    norm: str
    also: tuple[str, ...] = ()
    per_layer: tuple[str, ...] = ()
    carried: tuple[str, ...] = ()
    output: str = ""
    parts: tuple[Part, ...] = ()


def check_keep(keep: Sequence[int], num_blocks: int, what: str) -> tuple[int, ...]:
    """The kept blocks as a sorted tuple. Raises MaskError unless distinct and in range."""
    sorted_keep = tuple(sorted(keep))
    distinct = len(set(sorted_keep)) == len(sorted_keep)
    if not distinct or any(not 0 <= index < num_blocks for index in sorted_keep):
        raise MaskError(
            f"keep must name distinct blocks 0..{num_blocks - 1} of {what}; got {tuple(keep)}"
        )
    return sorted_keep


def split_keep(keep: Sequence[int], sizes: Sequence[int], what: str) -> list[tuple[int, ...]]:
    """By stack the numbers, within it, of the kept blocks.

    Args:
        keep: flat numbers, over all stacks.
        sizes: blocks of every stack.
        what: whose blocks they are, for people.

    Raises:
        MaskError: `keep` names blocks that are not there, or one twice.
    """
    keep = check_keep(keep, sum(sizes), what)
    ends = [0]
    for size in sizes:
        ends.append(ends[-1] + size)
    return [
        tuple(block - first for block in keep if first <= block < end)
        for first, end in pairwise(ends)
    ]


def depth_holder(config: dict[str, Any], stack: Stack) -> tuple[dict[str, Any], str]:
    """The part of a config that holds a stack's depth, and the depth's name in there."""
    *nested, depth = stack.depth.split(".")
    for field in nested:
        config = config[field]
    return config, depth


def keep_config(config: Mapping[str, Any], stack: Stack, keep: Sequence[int]) -> dict[str, Any]:
    """A copy of a config (as data) whose depth and per-layer lists follow the kept blocks."""
    new = copy.deepcopy(dict(config))
    holder, depth = depth_holder(new, stack)
    for field in stack.per_layer:
        if holder.get(field):
            holder[field] = [holder[field][index] for index in keep]
    for field in (depth, *stack.also):
        holder[field] = len(keep)
    return new


@contextmanager
def config_follows(config: Any, stack: Stack, keep: Sequence[int]) -> Iterator[None]:
    """Inside the context the config of a live module has the kept blocks' depth and lists."""
    *nested, depth = stack.depth.split(".")
    for field in nested:
        config = getattr(config, field)
    fields = (depth, *stack.per_layer, *stack.also)
    before = {field: getattr(config, field) for field in fields if hasattr(config, field)}
    after = keep_config(before, replace(stack, depth=depth), keep)
    try:
        for field in before:
            setattr(config, field, after[field])
        yield
    finally:
        for field, value in before.items():
            setattr(config, field, value)


def keep_tensors(
    state: Mapping[str, Stored], stack: Stack, keep: Sequence[int]
) -> dict[str, Stored]:
    """The state dict of the smaller model: kept blocks renumbered from 0, the rest unchanged."""
    place = {old: new for new, old in enumerate(keep)}
    prefix = f"{stack.path}."
    kept: dict[str, Stored] = {}
    for key, tensor in state.items():
        if not key.startswith(prefix):
            kept[key] = tensor
            continue
        number, rest = key.removeprefix(prefix).split(".", 1)
        if int(number) in place:
            kept[f"{prefix}{place[int(number)]}.{rest}"] = tensor
        if number == "0" and keep and any(part in rest for part in stack.carried):
            kept[f"{prefix}0.{rest}"] = tensor
    return kept


def first_input(args: Sequence[Any], kwargs: Mapping[str, Any]) -> Tensor:
    """The residual stream that a block is called with: by position, by its name, or the first."""
    if args:
        hidden = args[0]
    else:
        names = [name for name in ("hidden_state", "hidden_states") if name in kwargs]
        hidden = kwargs[names[0] if names else next(iter(kwargs))]
    assert isinstance(hidden, Tensor)
    return hidden


def first_output(output: Any) -> Tensor:
    """The residual stream in what a block returns: a tensor, or the first of several things."""
    hidden = output if isinstance(output, Tensor) else output[0]
    assert isinstance(hidden, Tensor)
    return hidden


def with_hidden(output: Any, hidden: Tensor) -> Any:
    """What a block returned, with another residual stream in it."""
    if isinstance(output, Tensor):
        return hidden
    if isinstance(output, (tuple, list)):
        return type(output)((hidden, *output[1:]))
    output[next(iter(output.keys()))] = hidden
    return output


@contextmanager
def skipped(blocks: Sequence[nn.Module], dropped: Sequence[int]) -> Iterator[None]:
    """Skips blocks exactly without rebuilding: each runs, then its input takes its output's place.

    Side outputs (position biases, caches) survive, so it equals real removal bit for bit.
    """

    def put_back(_block: nn.Module, args: Any, kwargs: Any, output: Any) -> Any:
        return with_hidden(output, first_input(args, kwargs))

    hooks = [blocks[index].register_forward_hook(put_back, with_kwargs=True) for index in dropped]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()

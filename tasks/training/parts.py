"""The parts of a native model that healing treats apart: blocks, their last map, what follows."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Literal

from torch import Tensor, nn

from tasks.models.native import NativeModel


def blocks_of(model: NativeModel) -> list[nn.Module]:
    """The blocks over all stacks, in the order of their flat numbers."""
    return [block for stack in model.blocks().values() for block in stack]


def output_map(model: NativeModel, block: int) -> nn.Module:
    """The last linear map of a block, whose output is added to the residual stream."""
    module = blocks_of(model)[block]
    outputs = [part.output for part in model.stack.parts if hasattr(module, part.name)]
    return module.get_submodule(outputs[-1])


def final_norm(model: NativeModel) -> nn.Module:
    """The norm between the last block and the head."""
    return model.backbone.get_submodule(model.stack.norm)


def frozen_names(
    model: NativeModel, trained: Literal["all", "kept_blocks", "head_and_last"]
) -> frozenset[str]:
    """Names of the parameters that stay as they are when only a part is trained.

    `kept_blocks` are the blocks alone: patch and position embedding, final norm and head stay.
    `head_and_last` are the last block, the final norm and the head. A model without blocks trains
    everything, because there `kept_blocks` would leave nothing.
    """
    blocks = blocks_of(model)
    if trained == "all" or not blocks:
        return frozenset()
    parts = blocks if trained == "kept_blocks" else [blocks[-1], final_norm(model), model.head]
    chosen = {id(parameter) for part in parts for parameter in part.parameters()}
    return frozenset(name for name, p in model.named_parameters() if id(p) not in chosen)


@contextmanager
def states_after(model: NativeModel, blocks: Sequence[int]) -> Iterator[dict[int, Tensor]]:
    """Inside the context every pass leaves the residual stream after these blocks, by block."""
    states: dict[int, Tensor] = {}
    modules = blocks_of(model)

    def keeps(block: int) -> Any:
        def keep(_module: nn.Module, _args: Any, output: Any) -> None:
            states[block] = output if isinstance(output, Tensor) else output[0]

        return keep

    hooks = [modules[block].register_forward_hook(keeps(block)) for block in dict.fromkeys(blocks)]
    try:
        yield states
    finally:
        for hook in hooks:
            hook.remove()

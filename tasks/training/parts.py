"""The parts of a model that healing treats apart: its blocks, and what follows them."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Literal

from torch import Tensor, nn

from tasks.models.base import ForecastModel
from tasks.models.stacks import first_output


def frozen_names(
    model: ForecastModel, trained: Literal["all", "kept_blocks", "head_and_last"]
) -> frozenset[str]:
    """Names of the parameters that stay as they are when only a part is trained.

    `kept_blocks` are the blocks alone: patch and position embedding, final norm and head stay.
    `head_and_last` are the last block and what follows it: the final norm and the head. A model
    without blocks, or whose blocks are frozen anyway, trains all that it can, because there
    `kept_blocks` would leave nothing.
    """
    blocks = model.all_blocks()
    if trained == "all" or not any(p.requires_grad for b in blocks for p in b.parameters()):
        return frozenset()
    parts = blocks if trained == "kept_blocks" else [blocks[-1], *model.tail()]
    chosen = {id(parameter) for part in parts for parameter in part.parameters()}
    return frozenset(name for name, p in model.named_parameters() if id(p) not in chosen)


@contextmanager
def states_after(model: ForecastModel, blocks: Sequence[int]) -> Iterator[dict[int, Tensor]]:
    """Inside the context every pass leaves the residual stream after these blocks, by block."""
    states: dict[int, Tensor] = {}
    modules = model.all_blocks()

    def keeps(block: int) -> Any:
        def keep(_module: nn.Module, _args: Any, output: Any) -> None:
            states[block] = first_output(output)

        return keep

    hooks = [modules[block].register_forward_hook(keeps(block)) for block in dict.fromkeys(blocks)]
    try:
        yield states
    finally:
        for hook in hooks:
            hook.remove()

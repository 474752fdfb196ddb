"""A batch taken through a model's blocks one at a time, so that masks can share states."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from jaxtyping import Float
from torch import Tensor, nn

from tasks.models.stacks import Stack


@dataclass(frozen=True)
class Walk:
    """The state of one batch before its first block, and the ways on from it.

    Attributes:
        start: h_0, the residual stream before the first block.
        steps: by block, the residual stream after the block from the one before it.
        end: the forecast on data scale from the residual stream after the last block.
    """

    start: Float[Tensor, "batch tokens width"]
    steps: Sequence[Callable[[Tensor], Tensor]]
    end: Callable[[Tensor], Tensor]

    def step(
        self, block: int, hidden: Float[Tensor, "batch tokens width"]
    ) -> Float[Tensor, "batch tokens width"]:
        """The state after one block, called as the model calls it."""
        return self.steps[block](hidden)

    def finish(self, hidden: Float[Tensor, "batch tokens width"]) -> Float[Tensor, "batch horizon"]:
        """The forecast from the state after the last block of a mask."""
        return self.end(hidden)


@dataclass(frozen=True)
class Step:
    """A block with what its model passes to it beside the states: masks, positions, flags."""

    block: nn.Module
    args: tuple[Any, ...]
    kwargs: dict[str, Any]

    def __call__(self, hidden: Tensor) -> Tensor:
        """The states after the block."""
        output = self.block(hidden, *self.args, **self.kwargs)
        return output if isinstance(output, Tensor) else output[0]


class Recorder(nn.Module):
    """Takes a block's place: notes what it is called with and passes the states on unchanged."""

    def forward(self, hidden: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        """The states as they came."""
        self.args, self.kwargs = args, kwargs
        return hidden


def record_steps(
    backbone: nn.Module, stack: Stack, run: Callable[[], object]
) -> tuple[Tensor, list[Step]]:
    """h_0 and one step per block, from one run of the backbone without its blocks.

    Args:
        backbone: holds the stack.
        stack: where the blocks and the norm after them are.
        run: runs the backbone on the batch.
    """
    parent_path, _, name = stack.path.rpartition(".")
    parent = backbone.get_submodule(parent_path)
    blocks = getattr(parent, name)
    recorders = [Recorder() for _ in blocks]
    states: list[Tensor] = []
    norm = backbone.get_submodule(stack.norm)
    hook = norm.register_forward_pre_hook(lambda _norm, args: states.append(args[0]))
    setattr(parent, name, nn.ModuleList(recorders))
    try:
        run()
    finally:
        setattr(parent, name, blocks)
        hook.remove()
    pairs = zip(blocks, recorders, strict=True)
    return states[0], [Step(block, recorder.args, recorder.kwargs) for block, recorder in pairs]

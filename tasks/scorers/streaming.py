"""Activations of a model that is never in memory as a whole: one block after the other.

The states of all calibration windows go through a block before the next one is read. What stays
are those states, h_0 .. h_L: the statistics compare every two of them.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from tasks.models.block_by_block import BlockByBlock
from tasks.models.interface import Trace
from tasks.models.native import NativeModel
from tasks.models.walk import Step
from tasks.scorers.activations import StackedActivations, query_diversity, summarise


@dataclass
class Batch:
    """Windows on their way through the blocks.

    Attributes:
        hidden: the states after the last block that they went through.
        steps: by block how the model calls it.
        states: h_0 and the states after each of these blocks.
        diversities: of these blocks, as in `Activations`.
    """

    hidden: Float[Tensor, "batch tokens width"]
    steps: Sequence[Step]
    states: list[Float[Tensor, "batch tokens width"]]
    diversities: list[Float[Tensor, " batch"]]


@torch.no_grad()
def collect_streamed(
    opened: BlockByBlock,
    contexts: Float[Tensor, "windows context"],
    batch_size: int,
    *,
    keep_as: torch.dtype = torch.float32,
    after: Callable[[int], None] | None = None,
) -> StackedActivations:
    """What `collect` returns for the whole model, bit for bit, with one block in memory.

    Args:
        opened: the model.
        contexts: the calibration windows.
        batch_size: windows that go through a block together.
        keep_as: precision of the states that are kept. In bfloat16 they take half the memory and
            the statistics differ by rounding; what goes on to the next block is not rounded.
        after: told, after each block, how many are done.

    Raises:
        CheckpointError: a block's weights do not fit the model's config, or one is not finite.
    """
    with _open_attention(opened.model):
        batches = [_start(opened.model, batch, keep_as) for batch in contexts.split(batch_size)]
        for number in range(len(opened.stored)):
            _through(opened, number, batches, keep_as)
            if after is not None:
                after(number + 1)
    parts = [summarise(batch.states, torch.stack(batch.diversities, 1)) for batch in batches]
    return StackedActivations.join([StackedActivations((part,)) for part in parts])


@contextmanager
def _open_attention(model: NativeModel) -> Iterator[None]:
    config: Any = model.backbone.config
    implementation = config._attn_implementation
    config._attn_implementation = "eager"
    try:
        yield
    finally:
        config._attn_implementation = implementation


def _start(model: NativeModel, contexts: Tensor, keep_as: torch.dtype) -> Batch:
    hidden, steps = model.enter(contexts)
    return Batch(hidden, steps, [hidden.to(keep_as)], [])


def _through(
    opened: BlockByBlock, number: int, batches: Sequence[Batch], keep_as: torch.dtype
) -> None:
    names = [part.name for part in opened.model.stack.parts if part.kind == "attention"]
    seen: list[Any] = []

    def note(_module: nn.Module, _args: Any, output: Any) -> None:
        seen.append(output[1])

    with opened.block(number) as block, ExitStack() as hooks:
        for name in names:
            hooks.callback(block.get_submodule(name).register_forward_hook(note).remove)
        for batch in batches:
            after = batch.steps[number](batch.hidden)
            attention = torch.stack(seen) if seen and seen[0] is not None else None
            trace = Trace(torch.stack([batch.hidden, after]), attention)
            batch.diversities.append(query_diversity(trace)[0])
            batch.states.append(after.to(keep_as))
            batch.hidden = after
            seen.clear()

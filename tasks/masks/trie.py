"""Many masks on one batch: masks that begin with the same blocks share these blocks' states.

Masks sorted by block form a trie; every distinct prefix is run once. Of a node's branches the one
that needs most memory is walked last, when the node's own state is no longer needed, so at most
log2(number of masks) states wait at a time (Ershov 1958: the registers of an expression).
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import torch
from jaxtyping import Float
from torch import Tensor

from tasks.masks.mask import Mask
from tasks.models.base import ForecastModel
from tasks.models.stacks import check_keep
from tasks.models.walk import Walk

MAX_BYTES = 2**28


@dataclass
class Node:
    """A prefix of masks.

    Attributes:
        prefix: the blocks up to here.
        masks: the places of the masks that end here.
        children: one per next block, the one that needs most waiting states last.
        waiting: states that must wait while everything below is run.
    """

    prefix: Mask
    masks: list[int] = field(default_factory=list)
    children: list["Node"] = field(default_factory=list)
    waiting: int = 0


def build_trie(masks: Sequence[Mask]) -> Node:
    """The root of the trie of sorted masks."""
    nodes: dict[Mask, Node] = {(): Node(())}
    for place, mask in enumerate(masks):
        for depth in range(1, len(mask) + 1):
            prefix = mask[:depth]
            if prefix not in nodes:
                nodes[prefix] = Node(prefix)
                nodes[prefix[:-1]].children.append(nodes[prefix])
        nodes[mask].masks.append(place)
    for node in sorted(nodes.values(), key=lambda node: -len(node.prefix)):
        node.children.sort(key=lambda child: (child.waiting, child.prefix))
        needs = [child.waiting for child in node.children]
        node.waiting = max([0, *needs[-1:], *(need + 1 for need in needs[:-1])])
    return nodes[()]


def block_passes(masks: Sequence[Mask]) -> int:
    """How many blocks are run on a batch for these masks: the number of distinct prefixes."""
    return len({mask[:depth] for mask in masks for depth in range(1, len(mask) + 1)})


@torch.no_grad()
def forecasts(
    model: ForecastModel,
    masks: Sequence[Mask],
    context: Float[Tensor, "batch context"],
    horizon: int,
    *,
    max_bytes: int = MAX_BYTES,
) -> Iterator[tuple[int, Float[Tensor, "batch horizon"]]]:
    """The forecast of every mask, bit-identical to `model.forecast` inside `model.only(mask)`.

    Args:
        model: in eval mode.
        masks: kept blocks; a mask may come twice.
        context: past values, NaN = missing.
        horizon: steps; those beyond the model's own horizon are rolled mask by mask.
        max_bytes: of residual streams kept at a time. The one that came in, the one at work and
            its successor are always kept; a state that finds no room is made again from the first.

    Yields:
        The place of a mask in `masks` and its forecast, depth first over the trie; one mask after
        the other where the model cannot be walked.

    Raises:
        MaskError: a mask names a block that the model does not have, or one twice.
    """
    sorted_masks = [check_keep(mask, model.num_blocks, "the model") for mask in masks]
    walk = model.walk(context)
    if walk is None:
        for place, mask in enumerate(sorted_masks):
            with model.only(mask):
                yield place, model.forecast(context, horizon).mean
        return
    for node, hidden in states(walk, build_trie(sorted_masks), max_bytes):
        forecast = walk.finish(hidden)[:, :horizon]
        del hidden  # or it would be kept while the next one is made
        if horizon > forecast.shape[1]:
            forecast = _rolled(model, node.prefix, context, forecast, horizon)
        for place in node.masks:
            yield place, forecast


def _rolled(
    model: ForecastModel, mask: Mask, context: Tensor, forecast: Tensor, horizon: int
) -> Tensor:
    with model.only(mask):
        longer = torch.cat([context, forecast], dim=1)
        rest = model.forecast(longer, horizon - forecast.shape[1]).mean
    return torch.cat([forecast, rest], dim=1)


def states(
    walk: Walk, root: Node, max_bytes: int
) -> Iterator[tuple[Node, Float[Tensor, "batch tokens width"]]]:
    """The nodes at which masks end, each with the state after its last block."""
    room = max_bytes // max(1, walk.start.nbytes) - 3  # three: see `forecasts`
    yield from _below(walk, root, walk.start, max(0, room))


def _below(walk: Walk, node: Node, hidden: Tensor, room: int) -> Iterator[tuple[Node, Tensor]]:
    """Walks a subtree; `room` is how many more states may wait."""
    while True:
        if node.masks:
            yield node, hidden
        if not node.children:
            return
        is_kept = room > 0 or not node.prefix  # the first state is always there
        left = room - 1 if node.prefix and room else room
        for child in node.children[:-1]:
            branch = _below(walk, child, walk.step(child.prefix[-1], hidden), left)
            if not is_kept:
                hidden = walk.start
            yield from branch
            if not is_kept:
                hidden = _run(walk, node.prefix)
        node = node.children[-1]
        hidden = walk.step(node.prefix[-1], hidden)


def _run(walk: Walk, prefix: Mask) -> Tensor:
    hidden = walk.start
    for block in prefix:
        hidden = walk.step(block, hidden)
    return hidden

"""Closed-form repair of the cuts that removed blocks leave, before any healing step.

At every cut the residual stream that the next block used to get is known from the larger model. The
last linear map before the cut (the output map of the kept block, its MLP's where it has one; the
patch embedding where the first blocks are gone) is moved so that the stream comes as near to it as
least squares allows. Weights change, the architecture does not.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from tasks.errors import ParamsError
from tasks.models.base import ForecastModel
from tasks.models.stacks import first_input
from tasks.training.parts import states_after

BATCH = 64
CANNOT = (
    "healing.seam_repair needs one stack of blocks with a linear map before each cut; set it false"
)
START = -1  # stands for "before the first block"


@dataclass(frozen=True)
class Cut:
    """Blocks are missing behind block `after` of the smaller model; `until` is the last of them."""

    after: int
    until: int


def places_of(smaller: ForecastModel, larger: ForecastModel) -> list[int]:
    """The numbers that the blocks of the smaller model have in the larger one."""
    return [larger.kept.index(block) for block in smaller.kept]


def cut_ends(places: Sequence[int], sizes: Sequence[int]) -> list[int]:
    """For each kept block the last of the removed ones behind it in its stack, or itself.

    Args:
        places: the kept blocks, by flat number.
        sizes: blocks of every stack.
    """
    ends: list[int] = []
    first = 0
    for size in sizes:
        own = [place for place in places if first <= place < first + size]
        ends += [following - 1 for following in [*own[1:], first + size]] if own else []
        first += size
    return ends


def cuts_of(places: Sequence[int], num_blocks: int) -> list[Cut]:
    """The cuts of one stack, first to last; `places` are the kept blocks of `num_blocks`."""
    ends = cut_ends(places, [num_blocks])
    cuts = [
        Cut(number, end)
        for number, (place, end) in enumerate(zip(places, ends, strict=True))
        if end > place
    ]
    first = places[0] if places else num_blocks
    return ([Cut(START, first - 1)] if first else []) + cuts


@torch.no_grad()
def repair_seams(
    smaller: ForecastModel,
    larger: ForecastModel,
    windows: Float[Tensor, "windows length"],
    *,
    ridge: float,
) -> None:
    """Repairs every cut of `smaller` in place, from the first to the last.

    With X the inputs of the map before the cut and R = (state of the larger model behind the cut)
    - (state of the smaller one), the map W becomes W + D with
    D = argmin |X D - R|^2 + ridge * mean(diag X'X) |D|^2. A later cut is fitted on the states that
    the earlier repairs leave. Maps that training leaves frozen (llm4ts) are moved as well.

    Args:
        smaller: the pruned model.
        larger: the model it was pruned from.
        windows: calibration windows of context + horizon values, from the training range.
        ridge: relative to the mean square of an input; the larger, the smaller the change.

    Raises:
        ParamsError: the family has no such map at a cut, or several stacks.
    """
    if len(larger.stacks) > 1:
        raise ParamsError(f"{CANNOT}; {larger.config.family} has an encoder and a decoder")
    for cut in cuts_of(places_of(smaller, larger), larger.num_blocks):
        is_start = cut.after == START
        layer = smaller.embedding_map() if is_start else smaller.output_map(cut.after)
        if layer is None:
            where = "before its first block" if is_start else "at the end of a block"
            raise ParamsError(f"{CANNOT}; {larger.config.family} has none {where}")
        _move(layer, _change(smaller, larger, cut, layer, windows, ridge))


def _change(
    smaller: ForecastModel,
    larger: ForecastModel,
    cut: Cut,
    layer: nn.Module,
    windows: Tensor,
    ridge: float,
) -> Float[Tensor, "inputs width"]:
    """D of `repair_seams`, with a last row for the bias where the layer has one."""
    device = next(smaller.parameters()).device
    has_bias = getattr(layer, "bias", None) is not None
    gram = product = None
    for batch in windows.split(BATCH):
        given, gap = _inputs_and_gap(smaller, larger, cut, layer, batch.to(device))
        if has_bias:
            given = torch.cat([given, torch.ones_like(given[:, :1])], dim=1)
        gram = given.T @ given if gram is None else gram + given.T @ given
        product = given.T @ gap if product is None else product + given.T @ gap
    assert gram is not None
    assert product is not None
    diagonal = torch.diagonal(gram)
    inputs = len(diagonal) - has_bias
    penalty = torch.full_like(diagonal, ridge * float(diagonal[:inputs].mean()))
    penalty[inputs:] = 0  # the bias is free
    change: Tensor = torch.linalg.solve(gram + torch.diag(penalty), product)
    return change


def _inputs_and_gap(
    smaller: ForecastModel, larger: ForecastModel, cut: Cut, layer: nn.Module, batch: Tensor
) -> tuple[Float[Tensor, "tokens inputs"], Float[Tensor, "tokens width"]]:
    context, horizon = smaller.config.context, 1  # one pass: both models see the same context
    with states_after(larger, [cut.until]) as wanted:
        larger.forecast(batch[:, :context], horizon)
    behind = [*smaller.all_blocks(), smaller.tail()[0]][cut.after + 1]
    with _entering(layer) as given, _entering(behind) as found:
        smaller.forecast(batch[:, :context], horizon)
    gap = wanted[cut.until].double() - found[0].double()
    return given[0].double().flatten(0, -2), gap.flatten(0, -2)


@contextmanager
def _entering(module: nn.Module) -> Iterator[list[Tensor]]:
    """Inside the context every pass leaves the first argument of this module."""
    kept: list[Tensor] = []

    def keep(_module: nn.Module, args: Any, kwargs: Any) -> None:
        kept[:] = [first_input(args, kwargs)]

    hook = module.register_forward_pre_hook(keep, with_kwargs=True)
    try:
        yield kept
    finally:
        hook.remove()


def _move(layer: nn.Module, change: Float[Tensor, "inputs width"]) -> None:
    weight, bias = layer.weight, getattr(layer, "bias", None)
    assert isinstance(weight, Tensor)
    inputs = change.shape[0] - (bias is not None)
    matrix = change[:inputs]
    weight += (matrix.T if isinstance(layer, nn.Linear) else matrix).to(weight.dtype)
    if bias is not None:
        bias += change[inputs].to(bias.dtype)

"""A mask is the sorted tuple of kept block numbers; its text form is "0 3 5"."""

from collections.abc import Sequence
from math import comb

import numpy as np

from tasks.artifacts.scoring import Score
from tasks.errors import MaskError

Mask = tuple[int, ...]


def format_mask(mask: Sequence[int]) -> str:
    """The mask as text: block numbers with spaces between."""
    return " ".join(str(block) for block in mask)


def parse_mask(text: str) -> Mask:
    """The mask in a text made by `format_mask`. Raises MaskError."""
    try:
        return tuple(int(part) for part in text.split())
    except ValueError as error:
        raise MaskError(f'a mask is block numbers with spaces between; got "{text}"') from error


def sizes_of(shares: Sequence[float], num_blocks: int) -> list[int]:
    """The wanted numbers of blocks: each share rounded down, at least 1, ascending.

    Rounded down, so that "at most a quarter of the blocks" stays true.

    Raises:
        MaskError: a share keeps every block, so nothing would be pruned.
    """
    sizes = sorted({max(1, int(share * num_blocks + 1e-9)) for share in shares})
    if sizes[-1] >= num_blocks:
        raise MaskError(
            f"search.shares must keep fewer than all {num_blocks} blocks; "
            f"{max(shares)} keeps {sizes[-1]}"
        )
    return sizes


def count_masks(sizes: Sequence[int], num_blocks: int) -> int:
    """How many masks have one of these sizes."""
    return sum(comb(num_blocks, size) for size in sizes)


def top_mask(values: Sequence[float], size: int) -> Mask:
    """The `size` blocks with the highest values; ties go to the earlier block."""
    order = sorted(range(len(values)), key=lambda block: (-values[block], block))
    return tuple(sorted(order[:size]))


def own_mask(score: Score, size: int) -> Mask:
    """What a score itself keeps at this size: its top blocks unless it says otherwise."""
    kept = score.masks.get(size)
    return top_mask(score.values, size) if kept is None else tuple(kept)


def sizes_by_stack(stack_sizes: Sequence[int], size: int) -> list[int]:
    """How many of `size` kept blocks each stack gets: as it is deep, at least one where there are.

    A stack without blocks forecasts badly. What rounding leaves goes to the largest remainders.
    """
    least = 1 if size >= len(stack_sizes) else 0
    quotas = [size * depth / sum(stack_sizes) for depth in stack_sizes]
    sizes = [max(least, int(quota)) for quota in quotas]
    while sum(sizes) != size:
        step = 1 if sum(sizes) < size else -1
        open_ = [
            place
            for place, depth in enumerate(stack_sizes)
            if least <= sizes[place] + step <= depth
        ]
        place = max(open_, key=lambda place: step * (quotas[place] - sizes[place]))
        sizes[place] += step
    return sizes


def first_mask(num_blocks: int, size: int) -> Mask:
    """The first blocks."""
    return tuple(range(min(size, num_blocks)))


def last_mask(num_blocks: int, size: int) -> Mask:
    """The last blocks."""
    return tuple(range(num_blocks - size, num_blocks))


def even_mask(num_blocks: int, size: int) -> Mask:
    """Evenly spaced blocks, the first and (from two on) the last among them."""
    return tuple(int(block) for block in np.linspace(0, num_blocks - 1, size).round())


def random_masks(num_blocks: int, size: int, count: int, rng: np.random.Generator) -> list[Mask]:
    """Different random masks; fewer than `count` where there are not so many."""
    masks: list[Mask] = []
    while len(masks) < min(count, comb(num_blocks, size)):
        mask = tuple(sorted(int(b) for b in rng.choice(num_blocks, size, replace=False)))
        if mask not in masks:
            masks.append(mask)
    return masks

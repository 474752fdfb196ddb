"""Iterative pruning: the sizes, masks and steps of every prune-heal round, and what they make.

Pruning a little, training, and pruning again: Han et al. 2015 (arXiv 1506.02626), there for single
weights, here for blocks.
"""

from collections.abc import Sequence
from dataclasses import replace
from itertools import accumulate

from tasks.masks.mask import Mask, even_mask
from tasks.training.recipe import Student


def round_sizes(num_blocks: int, size: int, rounds: int) -> list[int]:
    """How many blocks are left after each round: about equal ratios, the last is `size`.

    12 blocks to 3 in three rounds: 8, 5, 3. A size may repeat where there is little to remove.
    """
    ratio = max(size, 1) / num_blocks
    sizes = [round(num_blocks * ratio ** (number / rounds)) for number in range(1, rounds)]
    return [*(max(size, one) for one in sizes), size]


def round_masks(
    num_blocks: int, keep: Mask, rounds: int, scores: Sequence[float] | None
) -> list[Mask]:
    """The kept blocks after each round; every mask holds the next one, the last is `keep`.

    The wanted blocks always stay. Of the others the lowest scores go first; without scores
    those that stay are evenly spaced among those that were left.

    Args:
        num_blocks: of the full model.
        keep: the wanted blocks.
        rounds: at least 1.
        scores: one per block, higher = keep; or None.
    """
    others = [block for block in range(num_blocks) if block not in keep]
    if scores is not None:
        others = sorted(others, key=lambda block: (-scores[block], block))
    masks: list[Mask] = []
    for size in round_sizes(num_blocks, len(keep), rounds):
        spare = size - len(keep)
        if scores is None:
            others = [others[place] for place in even_mask(len(others), spare)]
        masks.append(tuple(sorted([*keep, *others[:spare]])))
    return masks


def round_steps(steps: int, rounds: int) -> list[int]:
    """The steps of each round: half of all for the last, the rest in equal parts before it."""
    if rounds == 1:
        return [steps]
    early = (steps // 2) // (rounds - 1)
    return [early] * (rounds - 1) + [steps - early * (rounds - 1)]


def join_rounds(rounds: Sequence[Student]) -> Student:
    """The student of the last round with the steps, history and time of all rounds.

    Its validation error is that of the last round: before, the model was a larger one.
    """
    starts = list(accumulate((student.steps for student in rounds[:-1]), initial=0))
    history = [
        row | {"step": start + row["step"]}
        for start, student in zip(starts, rounds, strict=True)
        for row in student.history
    ]
    return replace(
        rounds[-1],
        steps=sum(student.steps for student in rounds),
        steps_run=sum(student.steps_run for student in rounds),
        best_step=starts[-1] + rounds[-1].best_step,
        seconds=sum(student.seconds for student in rounds),
        history=history,
    )

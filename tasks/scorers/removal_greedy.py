"""Removal loss, measured anew after each removal (Song et al. 2024, SLEB, arXiv 2402.09025)."""

import numpy as np

from tasks.artifacts.scoring import Score
from tasks.scorers.removals import GreedyRemovals


def removal_greedy(removals: GreedyRemovals) -> Score:
    """The rise of the error by the time a block has to go; higher = keep.

    Blocks go one after the other, each time the one without which the error is smallest. A
    block's value is the largest error met until it is gone, minus the full model's; in units of
    the squared error. Values never fall along the order of removal but may be equal, so `masks`
    holds what is kept at every size.
    """
    rise = np.maximum.accumulate(np.asarray(removals.errors)) - removals.full
    values = np.empty(len(rise))
    values[list(removals.order)] = rise
    num_blocks = len(values)
    masks = {size: sorted(removals.order[num_blocks - size :]) for size in range(1, num_blocks)}
    return Score(values=[float(value) for value in values], parameters={}, masks=masks)

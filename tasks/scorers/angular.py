"""Angular distance across contiguous blocks (Gromov et al. 2024, arXiv 2403.17887)."""

import numpy as np

from tasks.artifacts.scoring import Score
from tasks.scorers.activations import Activations
from tasks.sections.scoring import Angular


def angular(activations: Activations, options: Angular) -> Score:
    """The angular distance at which a block is first removed; higher = keep; 0 .. 1.

    d(l, n) = E arccos(cos(h_l, h_{l+n})) / pi. To remove n blocks the method takes the run of n
    with the smallest d; `masks` holds what it keeps at every size. The runs need not contain one
    another, so a block's value is defined as the smallest distance among the chosen runs that
    hold it, over n = 1 .. L. Where the runs do contain one another and their distances grow, the
    blocks with the highest values are the method's own mask at every size.
    """
    distance = activations.last_angles if options.tokens == "last" else activations.angles
    distance = distance.mean(0)
    num_blocks = len(distance) - 1
    values = np.full(num_blocks, np.inf)
    masks: dict[int, list[int]] = {}
    for length in range(1, num_blocks + 1):
        runs = np.diagonal(distance, offset=length)  # of the run that starts at each block
        start = int(runs.argmin())
        run = slice(start, start + length)
        values[run] = np.minimum(values[run], runs[start])
        if length < num_blocks:
            masks[num_blocks - length] = [*range(start), *range(start + length, num_blocks)]
    return Score(
        values=[float(value) for value in values], parameters=options.model_dump(), masks=masks
    )

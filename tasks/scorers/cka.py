"""Blocks of alike layers by linear CKA (Wiliński et al. 2024, arXiv 2409.12915)."""

from itertools import pairwise

import numpy as np

from tasks.artifacts.scoring import Score
from tasks.scorers.activations import Activations
from tasks.sections.scoring import Cka


def cka(activations: Activations, options: Cka) -> Score:
    """1 - the CKA at which a block falls inside a run of alike ones; higher = keep; 0 .. 1.

    The paper finds the runs by eye; the rule here: every block starts as a run of its own, by
    its output state. Again and again the two neighbouring runs are joined whose least CKA
    between a block of the one and a block of the other is highest (complete linkage, so all
    members of a run are alike). The edges of each run are kept, its interior goes. A block's
    value is 1 - the CKA of the joining that first made it interior; the first and the last block
    never are and get 1. `count` is the number of edges when joining stops at `threshold`; the
    blocks with the `count` highest values are exactly those edges.
    """
    similarity = np.clip(activations.cka[1:, 1:], 0, 1)
    runs = [[block] for block in range(len(similarity))]
    values = np.ones(len(similarity))
    edges = len(runs)
    while len(runs) > 1:
        links = [similarity[np.ix_(left, right)].min() for left, right in pairwise(runs)]
        best = int(np.argmax(links))
        joined = runs[best] + runs[best + 1]
        for block in joined[1:-1]:
            values[block] = min(values[block], 1 - links[best])
        runs[best : best + 2] = [joined]
        if links[best] >= options.threshold:
            edges = sum(min(len(run), 2) for run in runs)
    return Score(
        values=[float(value) for value in values], parameters=options.model_dump(), count=edges
    )

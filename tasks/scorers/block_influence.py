"""Block influence (Men et al. 2024, ShortGPT, arXiv 2403.03853)."""

import numpy as np

from tasks.artifacts.scoring import Score
from tasks.scorers.activations import Activations


def block_influence(activations: Activations) -> Score:
    """BI_l = 1 - E cos(h_{l-1}, h_l). Higher = keep; 0 .. 2; does not depend on data scale."""
    values = 1 - np.diagonal(activations.cosine, offset=1)
    return Score(values=[float(value) for value in values], parameters={})

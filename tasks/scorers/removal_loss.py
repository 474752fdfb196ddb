"""Removal loss (arXiv 2605.14075; Song et al. 2024, SLEB, arXiv 2402.09025)."""

from tasks.artifacts.scoring import Score
from tasks.scorers.removals import Removals


def removal_loss(removals: Removals) -> Score:
    """Error with one block skipped minus the error with none skipped, for every block.

    Higher = keep; in units of the squared error; negative where the model is better without it.
    """
    full, *errors = removals.means().tolist()
    return Score(values=[error - full for error in errors], parameters={})

"""The learned gate as a score (after Huang and Wang 2018, arXiv 1707.01213)."""

from tasks.artifacts.scoring import Score
from tasks.scorers.gates import Gates
from tasks.sections.scoring import Gate


def gate(gates: Gates, options: Gate) -> Score:
    """The mean of a block's gate over its training; higher = keep; 0 .. 1.

    The mean and not the last value: gates that end at 0 are still told apart by when they closed.
    """
    return Score(
        values=[float(value) for value in gates.path.mean(0)], parameters=options.model_dump()
    )

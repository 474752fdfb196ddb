"""Was a model still improving when its training ended?

The best checkpoint being among the last says little: with a rate that falls to 0 the validation
error creeps down to the very end. So a line is fitted to the last evaluations, and a model counts
as still improving when that line falls by more than half a percent. A rate that falls to 0 also
flattens the end of a run that a longer one would beat: "not improving" is no proof of a good fit,
which is why the full model with extra tuning is trained as well.
"""

import math
from collections.abc import Sequence

import numpy as np

from tasks.artifacts.training import TrainingSummary

LATE_SHARE = 0.25  # of the evaluations
MIN_EVALUATIONS = 3
FALLING = -0.005  # relative change over the last evaluations


def late_change(steps: Sequence[int], errors: Sequence[float]) -> float | None:
    """Relative change of the error along a line through the last quarter of the evaluations.

    The least-squares line's end over its start, minus 1; negative = the error was falling.

    Args:
        steps: at which the errors were measured, ascending.
        errors: validation errors, above 0.

    Returns:
        None where there are fewer than three evaluations, or the line is not finite and above 0.
    """
    if len(errors) < MIN_EVALUATIONS:
        return None
    count = max(MIN_EVALUATIONS, math.ceil(LATE_SHARE * len(errors)))
    late, values = np.asarray(steps[-count:], float), np.asarray(errors[-count:], float)
    if not np.isfinite(values).all():
        return None
    centred = late - late.mean()
    slope = float(centred @ values / (centred @ centred))
    start, end = (float(values.mean() + slope * centred[place]) for place in (0, -1))
    return end / start - 1 if start > 0 and end > 0 else None


def was_improving(training: TrainingSummary) -> bool:
    """True when the validation error still fell as the steps ran out.

    A run that patience stopped was not; where too few evaluations give no line, the best one
    being among the last tenth of the steps decides.
    """
    if training.stopped_early:
        return False
    if training.late_change is None:
        return training.still_improving
    return training.late_change <= FALLING

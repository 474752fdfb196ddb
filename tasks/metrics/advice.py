"""What follows from the errors: does selection add anything, and which model to take."""

from collections.abc import Mapping, Sequence

import numpy as np

from tasks.artifacts.evaluation import Recommendation, Verdict


def does_selection_add(pruned_mse: float, random_mse: Sequence[float]) -> bool:
    """True when the pruned model's error lies clearly below those of the random masks.

    Clearly: below their mean minus one sample standard deviation; with a single random mask,
    below that one. A rule of thumb on a handful of masks and one training seed, not a test: a
    mask drawn at random passes it in 21 % of cases with five random masks and in 24 % with three
    (normal errors; mean and deviation are estimates), so take "True" as a hint and "False" as
    "selection adds nothing here".
    """
    spread = float(np.std(random_mse, ddof=1)) if len(random_mse) > 1 else 0.0
    return pruned_mse < float(np.mean(random_mse)) - spread


def recommend(
    verdict: Verdict, valid_mse: Mapping[str, float], *, margin: float
) -> tuple[Recommendation, str]:
    """The advice for one dataset and model, and its reason in one sentence.

    1. Train a shallow one: the same depth from scratch has a lower validation error than the
       pruned model, and at most 1 + margin times the full model's.
    2. Take the pruned model: otherwise, when the verdict is superior or non-inferior.
    3. Keep the full one: otherwise.
    Models are ranked by validation error alone; the test range speaks only through the verdict.

    Args:
        verdict: on the pruned model against the full one.
        valid_mse: validation errors by name; "full", "pruned" and "scratch" must be there,
            "scratch_replay" counts as from scratch, too, and "linear" is mentioned where it is
            lower than all of these.
        margin: relative to the full model's error.
    """
    full, pruned = valid_mse["full"], valid_mse["pruned"]
    scratch = min(valid_mse["scratch"], valid_mse.get("scratch_replay", np.inf))
    against_pruned = f"{scratch:.4f} against {pruned:.4f}, {scratch / pruned - 1:+.1%}"
    advice: Recommendation
    if scratch < pruned and scratch <= (1 + margin) * full:
        advice = "train a shallow one"
        reason = (
            "the same depth trained from scratch has the lower validation error "
            f"({against_pruned}) and is within {margin:.0%} of the full model's ({full:.4f}); "
            f"the verdict on the pruned model is {verdict}"
        )
    elif verdict in ("superior", "non-inferior"):
        advice = "take the pruned model"
        reason = (
            f"it is {verdict} to the full model on the test range, and the same depth trained "
            f"from scratch is not better on validation ({against_pruned})"
            if scratch >= pruned
            else f"it is {verdict} to the full model on the test range; from scratch the same "
            f"depth is better on validation ({against_pruned}) but more than {margin:.0%} above "
            f"the full model's {full:.4f}"
        )
    else:
        advice = "keep the full one"
        reason = (
            "the pruned model is inferior to it on the test range"
            if verdict == "inferior"
            else f"that the pruned model is as good is not proven on the test range ({verdict})"
        )
        reason += ", and the same depth trained from scratch is " + (
            f"no way out ({scratch:.4f} on validation against the full model's {full:.4f})"
            if scratch > (1 + margin) * full
            else f"not better than the pruned one on validation ({against_pruned})"
        )
    if valid_mse.get("linear", np.inf) < min(full, pruned, scratch):
        reason += (
            f"; but the linear forecaster is better than all of them ({valid_mse['linear']:.4f})"
        )
    return advice, reason

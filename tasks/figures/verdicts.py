"""The verdict corrected over the datasets of a run, and the recommendation that follows."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from tasks.artifacts import Evaluation, Recommendation, Verdict
from tasks.metrics.advice import recommend

Adjust = Callable[[Sequence[float]], list[float]]

MEANINGS: dict[Verdict, str] = {
    "superior": "the pruned model's error is lower than the full model's",
    "non-inferior": "the pruned model's error is at most the margin above the full model's",
    "inconclusive": "the test windows decide neither way: the interval crosses the margin, or "
    "the p-value no longer holds after the correction over datasets",
    "inferior": "the pruned model's error is above the full model's by more than the margin",
}


@dataclass(frozen=True, kw_only=True)
class CorrectedVerdict:
    """What holds for one dataset and model after the correction over the datasets of the run."""

    verdict: Verdict
    before: Verdict
    p_value: float  # of non-inferiority, adjusted
    recommendation: Recommendation
    reason: str

    @property
    def is_downgraded(self) -> bool:
        """True when the correction took a verdict back."""
        return self.verdict != self.before


def correct_verdicts(
    evaluations: Sequence[Evaluation], *, alpha: float, adjust: Adjust
) -> list[CorrectedVerdict]:
    """Adjusts the p-values of one model over its datasets and takes back what no longer holds.

    `superior` needs its adjusted p-value of superiority; it falls to `non-inferior` and that
    falls to `inconclusive` when its own adjusted p-value exceeds alpha. Nothing is upgraded.

    Args:
        evaluations: of one model, one per dataset.
        alpha: the familywise error rate.
        adjust: turns p-values into adjusted ones, for example Holm's.
    """
    non_inferior = adjust([evaluation.p_value for evaluation in evaluations])
    superior = adjust([evaluation.p_superior for evaluation in evaluations])
    return [
        _correct(evaluation, p_value=p_value, p_superior=p_superior, alpha=alpha)
        for evaluation, p_value, p_superior in zip(evaluations, non_inferior, superior, strict=True)
    ]


def _correct(
    evaluation: Evaluation, *, p_value: float, p_superior: float, alpha: float
) -> CorrectedVerdict:
    verdict = evaluation.verdict
    if verdict == "superior" and p_superior > alpha:
        verdict = "non-inferior"
    if verdict == "non-inferior" and p_value > alpha:
        verdict = "inconclusive"
    recommendation, reason = evaluation.recommendation, evaluation.reason
    if verdict != evaluation.verdict:
        recommendation, reason = recommend(verdict, evaluation.valid_mse, margin=evaluation.margin)
    return CorrectedVerdict(
        verdict=verdict,
        before=evaluation.verdict,
        p_value=p_value,
        recommendation=recommendation,
        reason=reason,
    )

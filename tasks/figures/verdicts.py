"""The verdict corrected over the datasets of a run, and the recommendation that follows."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from tasks.artifacts.evaluation import Evaluation, Recommendation, Verdict
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
class CorrectedTest:
    """One test's verdict and adjusted p-values."""

    verdict: Verdict
    p_value: float  # of non-inferiority
    p_superior: float


@dataclass(frozen=True, kw_only=True)
class CorrectedVerdict:
    """What holds for one dataset and model after the correction over the datasets of the run."""

    verdict: Verdict  # the bootstrap's
    before: Verdict
    p_value: float  # of non-inferiority, adjusted
    p_superior: float  # adjusted
    diebold_mariano: CorrectedTest
    recommendation: Recommendation
    reason: str

    @property
    def is_downgraded(self) -> bool:
        """True when the correction took a verdict back."""
        return self.verdict != self.before

    @property
    def tests_agree(self) -> bool:
        """True when Diebold and Mariano's test gives the same verdict."""
        return self.verdict == self.diebold_mariano.verdict


def correct_verdicts(
    evaluations: Sequence[Evaluation], *, alpha: float, adjust: Adjust
) -> list[CorrectedVerdict]:
    """Adjusts the p-values of one model over its datasets and takes back what no longer holds.

    Non-inferiority, superiority and inferiority are three families, each with its own error rate.
    `superior` needs its adjusted p-value of superiority; it falls to `non-inferior`, and that and
    `inferior` fall to `inconclusive` when their own adjusted p-value exceeds alpha. Nothing is
    upgraded.

    The verdict is the bootstrap's. Of a model that is worse by just the margin it says non-inferior
    in at most 4.5 % of 2,000 simulations in each of 20 settings; Diebold and Mariano's test, which
    counts the autocorrelation of overlapping targets only, in up to 11.3 %, above 5 % in 17
    (`python -m tests.bench.verdicts`). So that test is shown beside it and decides nothing.

    Args:
        evaluations: of one model, one per dataset.
        alpha: the familywise error rate.
        adjust: turns p-values into adjusted ones, for example Holm's.
    """
    bootstrap = _correct_tests(
        [(one.verdict, one.p_value, one.p_superior, one.p_inferior) for one in evaluations],
        alpha,
        adjust,
    )
    others = [one.diebold_mariano for one in evaluations]
    diebold = _correct_tests(
        [(one.verdict, one.p_noninferior, one.p_superior, one.p_inferior) for one in others],
        alpha,
        adjust,
    )
    return [
        _corrected(evaluation, test, other)
        for evaluation, test, other in zip(evaluations, bootstrap, diebold, strict=True)
    ]


def _correct_tests(
    tests: Sequence[tuple[Verdict, float, float, float]], alpha: float, adjust: Adjust
) -> list[CorrectedTest]:
    """Each test with its adjusted p-values and what is left of its verdict."""
    verdicts, *p_values = zip(*tests, strict=True)
    adjusted = [adjust(family) for family in p_values]
    return [
        CorrectedTest(
            verdict=_what_is_left(verdict, p_value, p_superior, p_inferior, alpha),
            p_value=p_value,
            p_superior=p_superior,
        )
        for verdict, p_value, p_superior, p_inferior in zip(verdicts, *adjusted, strict=True)
    ]


def _what_is_left(
    verdict: Verdict, p_value: float, p_superior: float, p_inferior: float, alpha: float
) -> Verdict:
    if verdict == "superior" and p_superior > alpha:
        verdict = "non-inferior"
    if verdict == "non-inferior" and p_value > alpha:
        verdict = "inconclusive"
    if verdict == "inferior" and p_inferior > alpha:
        verdict = "inconclusive"
    return verdict


def _corrected(
    evaluation: Evaluation, test: CorrectedTest, diebold: CorrectedTest
) -> CorrectedVerdict:
    recommendation, reason = evaluation.recommendation, evaluation.reason
    if test.verdict != evaluation.verdict:
        recommendation, reason = recommend(
            test.verdict, evaluation.valid_mse, margin=evaluation.margin
        )
    return CorrectedVerdict(
        verdict=test.verdict,
        before=evaluation.verdict,
        p_value=test.p_value,
        p_superior=test.p_superior,
        diebold_mariano=diebold,
        recommendation=recommendation,
        reason=reason,
    )

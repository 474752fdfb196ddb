import pytest

from tasks.artifacts.evaluation import Evaluation, Verdict
from tasks.figures.verdicts import MEANINGS, correct_verdicts
from tasks.metrics.paired import holm
from tests.tasks.figures.made_up_run import made_up_evaluation


def evaluation(verdict: Verdict, *, p_value: float, p_superior: float) -> Evaluation:
    made = made_up_evaluation("demo", "tsfm-pico")
    changed = {"verdict": verdict, "p_value": p_value, "p_superior": p_superior}
    changed |= {"p_inferior": 1 - p_value}
    return made.model_copy(update=changed)


@pytest.mark.parametrize(
    ("verdict", "p_value", "p_superior", "expected"),
    [
        ("superior", 0.001, 0.020, "superior"),
        ("superior", 0.001, 0.030, "non-inferior"),
        ("superior", 0.030, 0.030, "inconclusive"),
        ("non-inferior", 0.020, 0.900, "non-inferior"),
        ("non-inferior", 0.030, 0.900, "inconclusive"),
        ("inconclusive", 0.200, 0.900, "inconclusive"),
        ("inferior", 0.990, 0.990, "inferior"),
    ],
)
def test_a_verdict_falls_step_by_step_when_its_adjusted_p_exceeds_alpha(
    verdict: Verdict, p_value: float, p_superior: float, expected: Verdict
) -> None:
    both = [evaluation(verdict, p_value=p_value, p_superior=p_superior)] * 2
    corrected = correct_verdicts(both, alpha=0.05, adjust=holm)
    assert [made.verdict for made in corrected] == [expected] * 2
    assert corrected[0].p_value == pytest.approx(min(1, 2 * p_value))
    assert corrected[0].is_downgraded == (verdict != expected)


@pytest.mark.parametrize(("p_inferior", "left"), [(0.02, "inferior"), (0.03, "inconclusive")])
def test_inferior_is_corrected_too(p_inferior: float, left: Verdict) -> None:
    made = evaluation("inferior", p_value=0.99, p_superior=0.99)
    diebold = made.diebold_mariano.model_copy(
        update={"verdict": "inferior", "p_inferior": p_inferior}
    )
    changed = {"p_inferior": p_inferior, "diebold_mariano": diebold}
    both = [made.model_copy(update=changed)] * 2
    for found in correct_verdicts(both, alpha=0.05, adjust=holm):
        assert (found.verdict, found.diebold_mariano.verdict) == (left, left)


def test_one_dataset_needs_no_correction() -> None:
    made = evaluation("non-inferior", p_value=0.04, p_superior=0.5)
    (corrected,) = correct_verdicts([made], alpha=0.05, adjust=holm)
    assert (corrected.verdict, corrected.p_value) == ("non-inferior", 0.04)
    assert (corrected.recommendation, corrected.reason) == (made.recommendation, made.reason)


def test_a_verdict_taken_back_takes_back_the_advice_that_rested_on_it() -> None:
    made = evaluation("non-inferior", p_value=0.04, p_superior=0.5)
    assert made.recommendation == "take the pruned model"
    corrected = correct_verdicts([made, made], alpha=0.05, adjust=holm)
    assert corrected[0].recommendation != "take the pruned model"
    assert "inconclusive" in corrected[0].reason


def test_both_tests_are_corrected_and_compared() -> None:
    made = evaluation("non-inferior", p_value=0.02, p_superior=0.3)
    diebold = made.diebold_mariano.model_copy(
        update={"verdict": "superior", "p_noninferior": 0.001, "p_superior": 0.02}
    )
    both = [made.model_copy(update={"diebold_mariano": diebold})] * 2
    first, _ = correct_verdicts(both, alpha=0.05, adjust=holm)
    assert (first.p_value, first.p_superior) == (pytest.approx(0.04), pytest.approx(0.6))
    assert first.diebold_mariano.p_value == pytest.approx(0.002)
    assert first.diebold_mariano.p_superior == pytest.approx(0.04)
    assert (first.verdict, first.diebold_mariano.verdict) == ("non-inferior", "superior")
    assert not first.tests_agree


def test_the_other_test_falls_step_by_step_too() -> None:
    made = evaluation("non-inferior", p_value=0.02, p_superior=0.3)
    diebold = made.diebold_mariano.model_copy(
        update={"verdict": "superior", "p_noninferior": 0.001, "p_superior": 0.03}
    )
    both = [made.model_copy(update={"diebold_mariano": diebold})] * 2
    first, _ = correct_verdicts(both, alpha=0.05, adjust=holm)
    assert first.diebold_mariano.verdict == "non-inferior"
    assert first.tests_agree


def test_every_verdict_has_a_meaning() -> None:
    assert set(MEANINGS) == {"superior", "non-inferior", "inconclusive", "inferior"}

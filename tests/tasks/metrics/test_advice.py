"""The recommendation and the rule on selection."""

import pytest

from tasks.artifacts.evaluation import Recommendation, Verdict
from tasks.metrics.advice import does_selection_add, recommend


@pytest.mark.parametrize(
    ("verdict", "errors", "advice", "words"),
    [
        ("non-inferior", (1.0, 1.0, 1.1), "take the pruned model", "not better on validation"),
        ("superior", (1.0, 0.9, 0.9), "take the pruned model", "it is superior"),
        ("superior", (1.0, 0.9, 0.8), "train a shallow one", "lower validation error"),
        (
            "inferior",
            (1.0, 1.2, 1.01),
            "train a shallow one",
            "verdict on the pruned model is inferior",
        ),
        ("inferior", (1.0, 1.2, 1.1), "keep the full one", "no way out"),
        ("inconclusive", (1.0, 1.0, 1.1), "keep the full one", "test range (inconclusive)"),
        ("inconclusive", (1.0, 1.0, 1.1), "keep the full one", "no way out"),
        ("inconclusive", (1.0, 0.9, 0.95), "keep the full one", "not better than the pruned one"),
        ("non-inferior", (1.0, 1.2, 1.1), "take the pruned model", "more than 2% above"),
    ],
)
def test_recommendation(
    verdict: Verdict,
    errors: tuple[float, float, float],
    advice: Recommendation,
    words: str,
) -> None:
    named = dict(zip(("full", "pruned", "scratch"), errors, strict=True))
    found, reason = recommend(verdict, named, margin=0.02)
    assert found == advice
    assert words in reason
    assert "linear" not in reason


def test_a_model_from_scratch_may_have_seen_the_mix() -> None:
    errors = {"full": 1.0, "pruned": 0.95, "scratch": 1.1, "scratch_replay": 0.9}
    advice, reason = recommend("superior", errors, margin=0.02)
    assert advice == "train a shallow one"
    assert "0.9000 against 0.9500" in reason


def test_better_linear_forecaster_is_mentioned() -> None:
    errors = {"full": 1.0, "pruned": 1.0, "scratch": 1.1, "linear": 0.9}
    assert "linear forecaster is better than all" in recommend("superior", errors, margin=0.02)[1]


@pytest.mark.parametrize(
    ("pruned", "random", "adds"),
    [
        (0.8, [1.0, 1.1, 0.9], True),
        (0.95, [1.0, 1.1, 0.9], False),  # within one standard deviation
        (1.2, [1.0, 1.1, 0.9], False),
        (0.9, [1.0], True),
        (1.0, [1.0], False),
    ],
)
def test_selection_adds_only_below_the_spread_of_random_masks(
    pruned: float, random: list[float], adds: bool
) -> None:
    assert does_selection_add(pruned, random) is adds

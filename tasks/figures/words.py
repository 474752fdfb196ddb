"""Sentences of the report: notes on a pair, and what the models of a run say about scale."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from tasks.figures.curves import SizedError
from tasks.figures.inputs import Pair
from tasks.figures.numbers import format_count, format_error, format_p_value, format_percent
from tasks.figures.verdicts import CorrectedVerdict

STRONG_TAU = 0.5
WEAK_TAU = 0.2
NOISE = 0.02  # differences of errors below this are noise until repeated


@dataclass(frozen=True)
class Note:
    """One sentence that a reader must not miss."""

    kind: Literal["plain", "warning"]
    text: str


def sentence(text: str) -> str:
    """The text with a capital at its start and a full stop at its end."""
    stripped = text.strip()
    if not stripped:
        return ""
    end = "" if stripped[-1] in ".!?" else "."
    return f"{stripped[0].upper()}{stripped[1:]}{end}"


def headline(recommendations: Sequence[str]) -> str:
    """How often each recommendation is given, most frequent first."""
    counts = Counter(recommendations).most_common()
    total = len(recommendations)
    if total == 1:
        return sentence(counts[0][0])
    return sentence("; ".join(f"{advice} in {count} of {total} cases" for advice, count in counts))


def notes_on(pair: Pair, corrected: CorrectedVerdict) -> list[Note]:
    """What limits or qualifies the result of one pair."""
    evaluation, notes = pair.evaluation, []
    if not evaluation.selection_adds:
        notes.append(
            Note(
                "warning",
                "Selection adds nothing here: the pruned model does not beat the spread of random "
                "masks of the same size, so how many blocks are kept and how they are healed "
                "matters, not which.",
            )
        )
    if corrected.is_downgraded:
        notes.append(
            Note(
                "warning",
                f"On this dataset alone the verdict would be {corrected.before}; corrected over "
                f"the datasets of the run (p {format_p_value(corrected.p_value)} for "
                f"non-inferiority) it is {corrected.verdict}.",
            )
        )
    if not pair.search.within_margin:
        notes.append(Note("warning", sentence(f"Best of the front only: {pair.search.reason}")))
    notes += _training_notes(pair)
    if evaluation.family == "llm4ts" and "random" in evaluation.backbone_label.lower():
        notes.append(
            Note(
                "warning",
                f"Random backbone ({evaluation.backbone_label}): no pretrained weights took part, "
                "so this says nothing about language models.",
            )
        )
    if pair.profile.synthetic:
        notes.append(
            Note(
                "plain",
                "The data are synthetic: generated, not measured. They show that the pipeline "
                "works, not how it does on real series.",
            )
        )
    if evaluation.missing_points:
        notes.append(
            Note(
                "plain",
                f"{evaluation.missing_points:,} missing points of the test windows are left out "
                "of every error.",
            )
        )
    return notes


def _training_notes(pair: Pair) -> list[Note]:
    notes = []
    if pair.training.still_improving:
        notes.append(
            Note(
                "warning",
                f"The full model may be under-fitted: its best checkpoint is step "
                f"{pair.training.best_step} of {pair.training.steps}. Train longer before trusting "
                "the comparison.",
            )
        )
    for option in pair.prune.options:
        if option.name == pair.prune.chosen and option.training.still_improving:
            notes.append(
                Note(
                    "plain",
                    "The pruned model was still improving when healing ended; more steps may help.",
                )
            )
    return notes


def rank_sentence(pair: Pair) -> str:
    """What Kendall's tau between the rankings before and after healing says."""
    tau = pair.search.rank_correlation
    if tau is None:
        return "Too few candidates were healed to compare the ranking before and after healing."
    if tau >= STRONG_TAU:
        meaning = "the order before healing mostly survives healing"
    elif tau >= WEAK_TAU:
        meaning = "the order before healing says little about the order after"
    else:
        meaning = "the order before healing does not predict the order after"
    sizes = [
        f"{size} blocks {value:.2f}"
        for size, value in pair.search.rank_correlation_by_size.items()
        if value is not None
    ]
    by_size = f" By size: {', '.join(sizes)}." if sizes else ""
    tau_text = f"Rank correlation (Kendall's tau) before against after healing: {tau:.2f}"
    return f"{tau_text}, so {meaning}.{by_size}"


def scale_sentences(points: Sequence[SizedError]) -> list[str]:
    """Per dataset: does the larger model win?"""
    datasets = dict.fromkeys(point.dataset for point in points)
    return [
        f"{dataset}: {_scale_verdict([point for point in points if point.dataset == dataset])}"
        for dataset in datasets
    ]


def _scale_verdict(points: list[SizedError]) -> str:
    size = max(point.params_full for point in points)
    large = min((p for p in points if p.params_full == size), key=lambda point: point.mse_full)
    smaller = [point for point in points if point.params_full < size]
    if not smaller:
        return f"all models are of one size; {_told(large)} has the lowest error."
    small = min(smaller, key=lambda point: point.mse_full)
    gap = large.mse_full / small.mse_full - 1
    told = f"{_told(large)} against {_told(small)}, {format_percent(gap, signed=True)}"
    if abs(gap) < NOISE:
        return f"size makes no clear difference: {told}, less than one training seed can decide."
    return f"the larger model {'wins' if gap < 0 else 'does not win'}: {told}."


def _told(point: SizedError) -> str:
    return f"{point.model} ({format_count(point.params_full)}) {format_error(point.mse_full)}"

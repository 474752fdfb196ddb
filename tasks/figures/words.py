"""Sentences of the report: notes on a pair, and what the models of a run say about scale."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from tasks.artifacts.search import SearchResult
from tasks.artifacts.training import PruneSummary, TrainingSummary
from tasks.figures.curves import SizedError
from tasks.figures.inputs import Pair
from tasks.figures.numbers import format_count, format_error, format_p_value, format_percent
from tasks.figures.summary import fit_of_pair
from tasks.figures.verdicts import CorrectedVerdict
from tasks.metrics.checks import few_training_rows_of, short_range_of, stationarity_of
from tasks.params import Params
from tasks.training.convergence import was_improving

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


def notes_on(pair: Pair, corrected: CorrectedVerdict, params: Params) -> list[Note]:
    """What limits or qualifies the result of one pair; `params` are those of its run."""
    evaluation, notes = pair.evaluation, []
    if not evaluation.selection_adds:
        notes.append(
            Note(
                "warning",
                "Selection adds nothing here: the pruned model does not beat the spread of random "
                "masks of the same size, so how many "
                f"{pair.units.noun}s are kept and how they are healed "
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
    if not corrected.tests_agree:
        other = corrected.diebold_mariano
        notes.append(
            Note(
                "warning",
                f"The two tests disagree: {corrected.verdict} by the bootstrap "
                f"({_p_values(corrected.p_value, corrected.p_superior)}), {other.verdict} by "
                f"Diebold and Mariano's test ({_p_values(other.p_value, other.p_superior)}). The "
                "bootstrap decides: it is the one that keeps its level where errors remember.",
            )
        )
    if pair.search.within_margin is False:
        notes.append(Note("warning", sentence(f"Best of the front only: {pair.search.reason}")))
    notes += _training_notes(pair) + _row_notes(pair, params) + _stack_notes(pair)
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


def _stack_notes(pair: Pair) -> list[Note]:
    """Which numbers belong to which stack, where a model has several."""
    stacks, first, told, empty = pair.evaluation.stacks, 0, [], []
    for name, size in stacks.items():
        kept = sum(first <= block < first + size for block in pair.evaluation.keep)
        told.append(f"{first} to {first + size - 1} are {name} ({kept} of {size} kept)")
        empty += [] if kept else [name]
        first += size
    if len(stacks) < 2:
        return []
    notes = [Note("plain", f"Blocks by stack: {'; '.join(told)}.")]
    if list(stacks)[-1] in empty:
        notes.append(
            Note(
                "warning",
                f"No block of {list(stacks)[-1]} is kept, so nothing of the encoder reaches the "
                "forecast.",
            )
        )
    return notes


def _p_values(p_value: float, p_superior: float) -> str:
    return f"p {format_p_value(p_value)} non-inferior, {format_p_value(p_superior)} superior"


def _sweep_notes(training: TrainingSummary) -> list[Note]:
    """That the learning rate lies at the edge of those tried, so that the best may lie beyond."""
    tried = sorted(float(rate) for rate in training.sweep)
    edges = {tried[0]: "lowest", tried[-1]: "highest"} if len(tried) > 1 else {}
    edge = edges.get(training.learning_rate)
    if edge is None:
        return []
    further = "lower" if edge == "lowest" else "higher"
    text = (
        f"The full model's learning rate {training.learning_rate:g} is the {edge} of the "
        f"{len(tried)} tried; a {further} one in training.sweep_rates may be better."
    )
    return [Note("plain", text)]


def _range_notes(pair: Pair) -> list[Note]:
    """That the validation range is too short to choose by."""
    short = short_range_of(pair.profile, len(pair.per_step))
    if short is None:
        return []
    remedy = (
        "A shorter windows.horizon or more rows for validation "
        f"(datasets.{pair.dataset}.split) would tell more."
    )
    return [Note("warning", f"{sentence(short)} {remedy}")]


def _row_notes(pair: Pair, params: Params) -> list[Note]:
    """That there are too few rows to train on."""
    training = params.training_of(pair.model, scale_rate=pair.training.learning_rate)
    context, horizon = params.windows.context, params.windows.horizon
    few = few_training_rows_of(pair.profile, training.train_share, context=context, horizon=horizon)
    if few is None:
        return []
    remedy = f"Raise training.train_share of {pair.model}, or lower windows.context."
    return [Note("warning", f"{sentence(few)} {remedy}")]


def _training_notes(pair: Pair) -> list[Note]:
    notes = []
    fit, series = fit_of_pair(pair), stationarity_of(pair.profile)
    if fit.still_improving:
        notes.append(Note("warning", sentence(fit.text)))
    if pair.training.best_step == 0:
        notes.append(
            Note(
                "warning",
                "No step of training lowered the validation error, so the full model is the one "
                "that training began with. The pruned one was healed on the same rows: what it "
                "gains on the validation range may not last.",
            )
        )
    notes += _sweep_notes(pair.training) + _range_notes(pair)
    if series.stationary < series.tested:
        notes.append(
            Note(
                "plain",
                f"{series.tested - series.stationary} of {series.tested} series show no "
                "stationarity in the training range (augmented Dickey-Fuller test, 5 %): the "
                "verdict holds for this test range and may not for a later one.",
            )
        )
    for option in pair.prune.options:
        if option.name == pair.prune.chosen and was_improving(option.training):
            notes.append(
                Note(
                    "plain",
                    "The pruned model was still improving when healing ended; more steps may help.",
                )
            )
    return notes


def rank_sentence(pair: Pair) -> str:
    """What Kendall's tau between the rankings before and after healing says, rung by rung."""
    search = pair.search
    tau = search.rank_correlations[0] if search.rank_correlations else None
    if tau is None:
        return "Too few candidates were healed to compare the ranking before and after healing."
    if tau >= STRONG_TAU:
        meaning = "the order before healing mostly survives healing"
    elif tau >= WEAK_TAU:
        meaning = "the order before healing says little about the order after"
    else:
        meaning = "the order before healing does not predict the order after"
    sizes = [
        f"{size} {pair.units.noun}s {value:.2f}"
        for size, value in search.rank_correlation_by_size.items()
        if value is not None
    ]
    by_size = f" By size: {', '.join(sizes)}." if sizes else ""
    tau_text = (
        "Rank correlation (Kendall's tau, over masks of one size) before against after "
        f"healing: {tau:.2f}"
    )
    return f"{tau_text}, so {meaning}.{by_size}{_later_rungs(search)}"


def _later_rungs(search: SearchResult) -> str:
    """How many masks were left on each further rung, and whether it changed their order."""
    told = []
    for rung, steps in enumerate(search.rungs[1:], start=1):
        left = sum(len(made.valid_mse_healed) > rung for made in search.candidates)
        tau = search.rank_correlations[rung]
        told.append(f"{left} masks for {steps} steps{'' if tau is None else f' (tau {tau:.2f})'}")
    return f" Healed further: {', then '.join(told)}." if told else ""


def healing_sentence(prune: PruneSummary) -> str:
    """Which way of healing was kept, with the validation error of each."""
    errors = [f"{one.name} {format_error(one.training.valid_mse)}" for one in prune.options]
    in_rounds = any("iterative" in one.name.split("+") for one in prune.options)
    early = " In rounds the model is larger before the last one." if in_rounds else ""
    return f"Kept by validation error: {prune.chosen} ({', '.join(errors)}).{early}"


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

"""The model card of a published model: Hub front matter and text, from the run's own results."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from tasks.artifacts.data import Profile
from tasks.artifacts.evaluation import Errors, Evaluation, Measurement
from tasks.artifacts.training import PruneSummary, StartSummary
from tasks.figures.numbers import (
    format_bytes,
    format_count,
    format_error,
    format_p_value,
    format_percent,
    format_significant,
)
from tasks.figures.summary import parse_latency_key
from tasks.figures.tables import WHAT_THEY_ARE
from tasks.figures.units import Units
from tasks.figures.verdicts import MEANINGS
from tasks.metrics.checks import Fit, few_training_rows_of, short_range_of, stationarity_of
from tasks.models.publish import Library
from tasks.params import yaml_text

SHOWN_FILES = 20
TAGS = ["time-series", "forecasting", "layer-pruning", "fewlayers"]


@dataclass(frozen=True, kw_only=True)
class Facts:
    """All that a card says.

    Attributes:
        evaluation: errors and the verdict.
        measurement: latency and size.
        prune: what is kept, and how it was healed.
        start: where the first weights came from.
        library: that loads the folder.
        code: Python that loads it and forecasts.
        context: values of a window.
        horizon: values that were forecast.
        profile: of the dataset.
        train_share: of the training rows, on which the model was trained and healed.
        fit: whether the full model of the verdict was trained out.
        data: sha256 of the dataset's files, by name.
        data_version: sha256 over all of them.
    """

    evaluation: Evaluation
    measurement: Measurement
    prune: PruneSummary
    start: StartSummary
    library: Library
    code: str
    context: int
    horizon: int
    profile: Profile
    train_share: float
    fit: Fit
    data: Mapping[str, str]
    data_version: str


def model_card(facts: Facts) -> str:
    """README.md of the published folder."""
    found = facts.evaluation
    units = Units(found.granularity)
    kept = f"{found.layers_kept} of {found.layers_full} {units.noun}s"
    parent = facts.start.parent
    of = f"[{parent.id}](https://huggingface.co/{parent.id})" if parent and parent.id else ""
    parts = [
        f"---\n{yaml_text(front_matter(facts))}---",
        f"# {found.model} on {found.dataset}: {kept}",
        f"A {found.family} model{f' made from {of}' if of else ''} for forecasting, pruned to "
        f"{kept} and healed on the dataset {found.dataset}. Against the full model it is, on this "
        f"dataset alone, **{found.verdict}**: {MEANINGS[found.verdict]}.",
        "## Load it",
        f"```python\n{facts.code}```",
        "## Errors on the test range",
        _errors(facts, units),
        _verdict(facts, units),
        f"## What was kept\n\n{_kept(found, units)}",
        f"## Latency and size\n\n{_latency(facts.measurement)}",
        f"## How it was made\n\n{_making(facts)}",
    ]
    return "\n\n".join(parts) + "\n"


def front_matter(facts: Facts) -> dict[str, Any]:
    """The metadata that the Hub reads; the licence is the parent's, left out where unknown."""
    parent, found = facts.start.parent, facts.evaluation
    base = {"base_model": parent.id} if parent and parent.id else {}
    return {
        **base,
        **(parent.license if parent else {}),
        "datasets": [found.dataset],
        "library_name": facts.library,
        "metrics": ["mse", "mae", "mase"],
        "pipeline_tag": "time-series-forecasting",
        "tags": [*TAGS, found.family],
    }


def _table(headers: list[str], rows: list[list[str]]) -> str:
    line = f"|{'|'.join('---' for _ in headers)}|"
    return "\n".join([f"| {' | '.join(headers)} |", line, *(f"| {' | '.join(r)} |" for r in rows)])


def _errors(facts: Facts, units: Units) -> str:
    found = facts.evaluation
    panel: dict[str, Errors] = {"pruned": found.pruned, "full": found.full}
    if found.zero_shot is not None:
        panel["zero_shot"] = found.zero_shot
    if found.zero_shot_pruned is not None:
        panel["zero_shot_pruned"] = found.zero_shot_pruned
    panel |= found.controls
    full = "the full model" + ("" if found.full_is == "full" else ", with as much extra tuning")
    told = WHAT_THEY_ARE | {"pruned": "**this model**", "full": full}
    rows = [
        [
            name.replace("_", " "),
            units.told(told.get(name, "random blocks, healed")),
            *(format_error(value) for value in (errors.mse, errors.mae, errors.mase)),
        ]
        for name, errors in panel.items()
    ]
    note = (
        "Of scaled values, over all horizon steps, on a range that no choice has seen "
        f"({found.num_windows:,} windows)."
    )
    if facts.profile.synthetic:
        note += " The data are synthetic: the errors mean nothing for real series."
    return f"{note}\n\n{_table(['forecaster', 'what it is', 'MSE', 'MAE', 'MASE'], rows)}"


def _verdict(facts: Facts, units: Units) -> str:
    found, series = facts.evaluation, stationarity_of(facts.profile)
    short = short_range_of(facts.profile, facts.horizon)
    few = few_training_rows_of(
        facts.profile, facts.train_share, context=facts.context, horizon=facts.horizon
    )
    low, high = found.interval
    adds = (
        "Its error is more than one standard deviation below the mean of random masks of its size."
        if found.selection_adds
        else f"It does not beat the spread of random masks of its size: how many {units.noun}s are "
        "kept and how they are healed matters, not which."
    )
    return (
        f"Verdict: **{found.verdict}** with a margin of {format_percent(found.margin)}; difference "
        f"of MSE {format_percent(found.difference, signed=True)}, interval "
        f"{format_percent(low, signed=True)} to {format_percent(high, signed=True)} (paired "
        f"block bootstrap), p {format_p_value(found.p_value)} for non-inferiority on this dataset "
        f"alone: in a run over several datasets the report corrects it for their number. "
        f"Recommendation: {found.recommendation}; {found.reason}. {adds}\n\n"
        f"What the verdict rests on: {facts.fit.text}; {series.stationary} of {series.tested} "
        "series tested are stationary in the training range (augmented Dickey-Fuller test, 5 %)"
        f"{''.join(f'; {warning}' for warning in (short, few) if warning)}."
    )


def _kept(found: Evaluation, units: Units) -> str:
    if len(found.stacks) < 2:
        return f"{units.noun.capitalize()}s {units.names(found.keep)} (of {found.layers_full})."
    lines, first = [], 0
    for stack, size in found.stacks.items():
        own = [block - first for block in found.keep if first <= block < first + size]
        lines.append(f"* `{stack}`: {', '.join(map(str, own)) or 'none'} (of {size})")
        first += size
    return "\n".join(lines)


def _latency(found: Measurement) -> str:
    rows = []
    for key in sorted(found.full.keys() & found.pruned.keys(), key=parse_latency_key):
        threads, batch = parse_latency_key(key)
        times = [format_significant(one[key].p50_ms) for one in (found.full, found.pruned)]
        speedup = format_significant(found.speedup_p50.get(key))
        rows.append([str(threads), str(batch), *times, f"{speedup} x"])
    full, pruned = found.parameters_full["all"], found.parameters_pruned["all"]
    sizes = (
        f"Parameters {format_count(full)} -> {format_count(pruned)}; peak memory "
        f"{format_bytes(found.peak_bytes_full)} -> {format_bytes(found.peak_bytes_pruned)}. "
        f"Measured on {found.machine}."
    )
    headers = ["threads", "batch", "full, ms", "this model, ms", "speed-up"]
    return f"{_table(headers, rows)}\n\n{sizes}"


def _making(facts: Facts) -> str:
    parent, chosen = facts.start.parent, facts.prune.chosen
    training = next(one.training for one in facts.prune.options if one.name == chosen)
    lines = [
        f"* Windows of {facts.context} values, forecasts of {facts.horizon}.",
        f"* Healed by `{chosen}`, {training.steps_run} steps; of the ways that were tried it has "
        "the lowest validation error.",
    ]
    if parent:
        known = f"`{parent.id}`" if parent.id else "a local checkpoint"
        at = f" at revision `{parent.revision}`" if parent.revision else ""
        lines.append(f"* Parent: {known}{at}.")
        lines += [f"  * `{name}` sha256 `{digest}`" for name, digest in parent.sha256.items()]
    lines.append(f"* Data version: `{facts.data_version}` (sha256 of the files' sha256).")
    shown = list(facts.data.items())[:SHOWN_FILES]
    lines += [f"  * `{name}` sha256 `{digest}`" for name, digest in shown]
    if len(facts.data) > SHOWN_FILES:
        lines.append(f"  * and {len(facts.data) - SHOWN_FILES} more files")
    return "\n".join(lines)

"""Tables of the report as plain text cells."""

from collections.abc import Sequence
from dataclasses import dataclass

from tasks.artifacts.data import Profile
from tasks.artifacts.evaluation import Errors
from tasks.artifacts.training import WHOLE
from tasks.figures.cost import reference_name, validation_error
from tasks.figures.inputs import BASELINES, Pair
from tasks.figures.numbers import (
    format_bytes,
    format_count,
    format_error,
    format_percent,
    format_seconds,
    format_significant,
)
from tasks.figures.summary import named_controls, parse_latency_key
from tasks.metrics.checks import stationarity_of

WHAT_THEY_ARE = {
    "pruned": "the chosen blocks, healed",
    "full_untuned": "all blocks, as trained",
    "full_extra": "all blocks, with the pruned model's extra tuning",
    "zero_shot": "pretrained, not tuned on this dataset",
    "zero_shot_pruned": "its chosen blocks, neither tuned nor healed on this dataset",
    "first": "the first blocks, healed",
    "last": "the last blocks, healed",
    "even": "evenly spaced blocks, healed",
    "zero": "no block at all, healed",
    "scratch": "as deep as the pruned model, from random weights, equal total budget",
    "scratch_replay": "the same, with windows of the pretraining mix in its batches",
    "seasonal_naive": "the last season repeated",
    "linear": "a linear forecaster outside the model",
}


@dataclass(frozen=True, kw_only=True)
class Table:
    """Header and rows of text; columns from `numeric_from` on are numbers."""

    headers: list[str]
    rows: list[list[str]]
    numeric_from: int = 1
    marked: frozenset[int] = frozenset()  # rows drawn bold


def null_panel_table(pair: Pair) -> Table:
    """Every forecaster, best test error first."""
    evaluation = pair.evaluation
    panel: dict[str, Errors] = named_controls(pair)
    panel["pruned"] = evaluation.pruned
    order = sorted(panel, key=lambda name: (panel[name].mse, name))
    rows = [_forecaster_row(pair, name, panel[name]) for name in order]
    marked = frozenset(order.index(name) for name in ("pruned", reference_name(pair)))
    headers = [
        "forecaster", "what it is", f"{pair.units.noun}s", "valid. MSE", "test MSE",
        "against full", "MAE", "MASE", "steps",
    ]  # fmt: skip
    return Table(headers=headers, rows=rows, numeric_from=3, marked=marked)


def _forecaster_row(pair: Pair, name: str, errors: Errors) -> list[str]:
    made, keep = pair.controls.get(name), None
    training = made.training if made else None
    if name == "pruned":
        chosen = [option for option in pair.prune.options if option.name == pair.prune.chosen]
        keep, training = pair.prune.keep, chosen[0].training if chosen else None
    elif name == "full_untuned":
        training = pair.training
    elif name == "zero_shot_pruned":
        keep = pair.prune.keep
    elif made:
        keep = made.keep
    is_mask = keep is not None and len(keep) < pair.search.num_blocks
    blocks = pair.units.names(keep) if is_mask else _blocks_in_words(pair, name)
    what = "random blocks, healed" if name.startswith("random") else WHAT_THEY_ARE.get(name, "")
    what = pair.units.told(what)
    if way := pair.evaluation.ways.get(name):
        what += f" ({way})"
    is_reference = name == reference_name(pair)
    return [
        name.replace("_", " "),
        f"{what} (the full model of the verdict)" if is_reference else what,
        blocks,
        _validation(pair, name),
        format_error(errors.mse),
        "" if is_reference else format_percent(_relative(pair, errors), signed=True),
        format_error(errors.mae),
        format_error(errors.mase),
        f"{training.steps_run}" if training else "",
    ]


def _blocks_in_words(pair: Pair, name: str) -> str:
    if name in BASELINES:
        return "none"
    return f"{len(pair.prune.keep)} new" if name.startswith("scratch") else "all"


def _validation(pair: Pair, name: str) -> str:
    known = pair.evaluation.valid_mse.keys() | pair.controls.keys() | {"full_untuned", "pruned"}
    return format_error(validation_error(pair, name)) if name in known else ""


def _relative(pair: Pair, errors: Errors) -> float | None:
    return errors.mse / pair.evaluation.full.mse - 1 if pair.evaluation.full.mse > 0 else None


def latency_table(pair: Pair) -> Table:
    """Latency of full and pruned per number of threads and batch size."""
    measurement = pair.measurement
    keys = sorted(measurement.full.keys() & measurement.pruned.keys(), key=parse_latency_key)
    rows = []
    for key in keys:
        threads, batch = parse_latency_key(key)
        full, pruned = measurement.full[key], measurement.pruned[key]
        times = (full.p50_ms, full.p95_ms, pruned.p50_ms, pruned.p95_ms)
        speedup = format_significant(measurement.speedup_p50.get(key))
        rows.append([str(threads), str(batch), *map(format_significant, times), f"{speedup} x"])
    headers = [
        "threads", "batch", "full p50, ms", "full p95, ms", "pruned p50, ms", "pruned p95, ms",
        "speed-up p50",
    ]  # fmt: skip
    return Table(headers=headers, rows=rows, numeric_from=0)


def runtime_table(pair: Pair) -> Table | None:
    """Median latency of full and pruned in other runtimes; None where none was measured.

    The speed-up is over the full model in eager mode, where that was measured as well.
    """
    found = pair.measurement
    eager = found.runtimes_full.get("eager", {})
    rows = []
    for runtime, times in found.runtimes_full.items():
        pruned = found.runtimes_pruned.get(runtime, {})
        for key in sorted(times.keys() & pruned.keys(), key=parse_latency_key):
            threads, batch = parse_latency_key(key)
            pair_of = (times[key].p50_ms, pruned[key].p50_ms)
            ratios = [eager[key].p50_ms / one for one in pair_of] if key in eager else [None, None]
            rows.append(
                [
                    runtime,
                    *(str(threads), str(batch)),
                    *map(format_significant, pair_of),
                    *(f"{format_significant(ratio)} x" if ratio else "" for ratio in ratios),
                ]
            )
    rows += [
        [runtime, f"not measured: {why}", *[""] * 5]
        for runtime, why in found.runtimes_failed.items()
    ]
    headers = [
        "runtime", "threads", "batch", "full p50, ms", "pruned p50, ms", "full against eager full",
        "pruned against eager full",
    ]  # fmt: skip
    return Table(headers=headers, rows=rows) if rows else None


def size_table(pair: Pair) -> Table:
    """Parameters counted three ways, and peak memory."""
    measurement = pair.measurement
    rows = []
    for key, what in (
        ("used", "parameters used in a forecast"),
        ("blocks", "parameters in blocks"),
        ("all", "all parameters"),
    ):
        full, pruned = measurement.parameters_full[key], measurement.parameters_pruned[key]
        share = format_percent(pruned / full) if full else ""
        rows.append([what, format_count(full), format_count(pruned), share])
    full, pruned = measurement.peak_bytes_full, measurement.peak_bytes_pruned
    share = format_percent(pruned / full) if full else ""
    rows.append(["peak memory", format_bytes(full), format_bytes(pruned), share])
    return Table(headers=["", "full", "pruned", "pruned / full"], rows=rows)


def time_table(pair: Pair) -> Table:
    """Where the time went: seconds of every stage that wrote them, by part."""
    rows = []
    for stage, timing in pair.timings.items():
        parts = ", ".join(
            f"{part} {format_seconds(seconds)}"
            for part, seconds in timing.seconds.items()
            if part != WHOLE
        )
        rows.append([stage, format_seconds(timing.seconds[WHOLE]), parts])
    return Table(headers=["stage", "in all", "parts"], rows=rows, numeric_from=3)


def profile_table(profiles: Sequence[Profile]) -> Table:
    """What `prepare` found in each dataset."""
    headers = [
        "dataset", "frequency", "from", "to", "series", "rows", "train", "valid.", "test",
        "missing", "gaps filled", "duplicates", "constant", "stationary",
    ]  # fmt: skip
    return Table(headers=headers, rows=[_profile_row(made) for made in profiles], numeric_from=4)


def _profile_row(profile: Profile) -> list[str]:
    found = stationarity_of(profile)
    counts = (
        profile.num_series, profile.rows, profile.train_rows, profile.valid_rows, profile.test_rows,
    )  # fmt: skip
    return [
        f"{profile.dataset} (synthetic)" if profile.synthetic else profile.dataset,
        profile.freq or "unknown",
        profile.first or "",
        profile.last or "",
        *(f"{count:,}" for count in counts),
        format_percent(profile.missing_share),
        f"{profile.gaps:,}",
        f"{profile.duplicates_dropped:,}",
        str(sum(channel.is_constant for channel in profile.channels)),
        f"{format_percent(found.share)} of {found.tested}" if found.tested else "not tested",
    ]

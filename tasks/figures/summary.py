"""`reports/summary.json`: one row per dataset and model, read by other programs."""

import re
from collections.abc import Sequence

import numpy as np
from pydantic import TypeAdapter

from tasks.artifacts.evaluation import Errors, Measurement, Recommendation, Verdict
from tasks.artifacts.files import Artifact
from tasks.errors import ArtifactError
from tasks.figures.inputs import Pair
from tasks.figures.verdicts import CorrectedVerdict
from tasks.metrics.agreement import SAMPLES
from tasks.metrics.checks import Fit, fit_of, stationarity_of
from tasks.metrics.stability import Answer, Judgement, Stability, judge
from tasks.sections.search import Granularity

_KEY = re.compile(r"^threads=(\d+),batch=(\d+)$")


class ControlErrors(Artifact):
    """Test errors of one control."""

    mse: float
    mae: float


class TestRow(Artifact):
    """One test, corrected over the datasets of the run."""

    verdict: Verdict
    p_value: float  # of non-inferiority
    p_superior: float


class SummaryRow(Artifact):
    """One dataset and model: kept blocks, errors, verdict, speed and controls."""

    dataset: str
    model: str
    family: str
    layers_full: int
    layers_kept: int
    keep: list[int]
    params_full: int  # used in a forecast
    params_pruned: int
    mse_full: float
    mse_pruned: float
    mae_full: float
    mae_pruned: float
    verdict: Verdict  # corrected over the datasets of the run
    margin: float
    p_value: float  # of non-inferiority, adjusted over the datasets of the run
    speedup_p50: float  # at the largest batch size, one thread
    latency_full_ms: float  # p50, as above
    latency_pruned_ms: float
    controls: dict[str, ControlErrors]
    recommendation: Recommendation
    reason: str
    p_superior: float  # adjusted over the datasets of the run
    diebold_mariano: TestRow  # beside the bootstrap, which decides
    full_still_improving: bool  # the full model of the verdict, when its training ended
    full_late_change: float | None  # of its validation error: by extra tuning, or at the end
    stationary_share: float | None  # of the series tested on the training range
    layers_are: Answer | None  # over other settings; None: not measured
    granularity: Granularity  # what a layer is here


def summary_row(pair: Pair, corrected: CorrectedVerdict) -> SummaryRow:
    """The summary of one pair. Raises ArtifactError when the measurement lacks a key."""
    evaluation, measurement = pair.evaluation, pair.measurement
    key = headline_key(measurement)
    controls = named_controls(pair)
    fit = fit_of_pair(pair)
    diebold, judged = corrected.diebold_mariano, judgement_of(pair.stability)
    return SummaryRow(
        dataset=pair.dataset,
        model=pair.model,
        family=evaluation.family,
        layers_full=evaluation.layers_full,
        layers_kept=evaluation.layers_kept,
        keep=evaluation.keep,
        params_full=measurement.parameters_full["used"],
        params_pruned=measurement.parameters_pruned["used"],
        mse_full=evaluation.full.mse,
        mse_pruned=evaluation.pruned.mse,
        mae_full=evaluation.full.mae,
        mae_pruned=evaluation.pruned.mae,
        verdict=corrected.verdict,
        margin=evaluation.margin,
        p_value=corrected.p_value,
        speedup_p50=measurement.speedup_p50[key],
        latency_full_ms=measurement.full[key].p50_ms,
        latency_pruned_ms=measurement.pruned[key].p50_ms,
        controls={
            name: ControlErrors(mse=errors.mse, mae=errors.mae) for name, errors in controls.items()
        },
        recommendation=corrected.recommendation,
        reason=corrected.reason,
        p_superior=corrected.p_superior,
        diebold_mariano=TestRow(
            verdict=diebold.verdict, p_value=diebold.p_value, p_superior=diebold.p_superior
        ),
        full_still_improving=fit.still_improving,
        full_late_change=fit.late_change,
        stationary_share=stationarity_of(pair.profile).share,
        layers_are=judged.answer if judged else None,
        granularity=evaluation.granularity,
    )


def judgement_of(stability: Stability) -> Judgement | None:
    """The judgement on the blocks that other settings choose; the same at every call."""
    return judge(stability, samples=SAMPLES, generator=np.random.default_rng(0))


def fit_of_pair(pair: Pair) -> Fit:
    """Whether the full model of this pair's verdict was trained out."""
    extra = pair.controls["full_extra"].training
    return fit_of(pair.training, extra, extra_is_better=pair.evaluation.full_is == "full_extra")


def named_controls(pair: Pair) -> dict[str, Errors]:
    """The null panel, the full model before extra tuning and, where there are some, zero-shot."""
    controls = dict(pair.evaluation.controls)
    controls["full_untuned"] = pair.evaluation.full_untuned
    if pair.evaluation.zero_shot is not None:
        controls["zero_shot"] = pair.evaluation.zero_shot
    if pair.evaluation.zero_shot_pruned is not None:
        controls["zero_shot_pruned"] = pair.evaluation.zero_shot_pruned
    return controls


def parse_latency_key(key: str) -> tuple[int, int]:
    """(threads, batch) of a key such as "threads=1,batch=64". Raises ArtifactError."""
    match = _KEY.match(key)
    if match is None:
        raise ArtifactError(
            f"a latency key must read threads=N,batch=N; got {key!r}; run `measure` again"
        )
    return int(match[1]), int(match[2])


def headline_key(measurement: Measurement) -> str:
    """The key of the largest batch with the fewest threads that full and pruned both have."""
    where = f"measurements/{measurement.dataset}/{measurement.model}.json"
    shared = measurement.full.keys() & measurement.pruned.keys() & measurement.speedup_p50.keys()
    if not shared:
        raise ArtifactError(
            f"{where}: full, pruned and speedup_p50 must share a batch size; run `measure` again"
        )
    for parameters in (measurement.parameters_full, measurement.parameters_pruned):
        absent = {"all", "blocks", "used"} - parameters.keys()
        if absent:
            raise ArtifactError(
                f"{where}: parameters must be counted as all, blocks and used; "
                f"{min(absent)!r} is missing; run `measure` again"
            )
    return min(shared, key=lambda key: (parse_latency_key(key)[0], -parse_latency_key(key)[1]))


def summary_json(rows: Sequence[SummaryRow]) -> str:
    """The rows as indented JSON."""
    return TypeAdapter(list[SummaryRow]).dump_json(list(rows), indent=1).decode() + "\n"

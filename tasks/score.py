"""Stage `score`: scores every block of a trained model on calibration windows."""

import hashlib
import time
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float

from tasks.artifacts.scoring import Scores, Table
from tasks.data.series import load_series
from tasks.errors import DataError
from tasks.models.registry import load_in_units
from tasks.runtime import load_selected, pick_device, run_stage, seed_for, stage_parser
from tasks.scorers.breakdown import break_down
from tasks.scorers.calibration import calibration_source, draw_windows, is_volatile, volatility
from tasks.scorers.few_layer_changes import few_layer_changes
from tasks.scorers.sensitivity import calibration_sensitivity
from tasks.scorers.sublayers import sublayer_losses
from tasks.scorers.table import Evidence, Kind, Meter, kinds_of, score_all
from tasks.training.fit import write_timing


def as_table(matrix: Float[np.ndarray, "rows columns"]) -> Table:
    """A matrix as JSON knows it: None for NaN."""
    return [[None if np.isnan(value) else float(value) for value in row] for row in matrix]


def main(argv: list[str]) -> None:
    """models/full/DATASET/MODEL + history -> scores/DATASET/MODEL.json."""
    parser = stage_parser(
        "tasks.score", "Scores the blocks of a model.", selects=["dataset", "model"]
    )
    args = parser.parse_args(argv)
    params = load_selected(datasets=[args.dataset], models=[args.model])
    pair, options = f"{args.dataset}/{args.model}", params.scoring
    seed = seed_for(params.seed, "score", pair)
    device = pick_device(params.runtime.device)
    model = load_in_units(Path("models/full") / pair, params.granularity, device)
    data = load_series(Path("data/prepared") / args.dataset / "history")
    source = calibration_source(data, params.windows, options.source)
    own = draw_windows(source, options.calibration_windows, options.draw, seed=seed)
    windows = source.batch(own.index)
    if not bool(torch.isfinite(windows[:, source.context :]).any()):
        raise DataError(
            f"{pair}: no calibration window has a value to forecast; set scoring.source: training, "
            "or more scoring.calibration_windows, in params.yaml"
        )
    started = time.perf_counter()
    meter = Meter(model, options, seed=seed, max_bytes=params.runtime.state_bytes)
    evidence: dict[Kind, Evidence] = {}
    seconds: dict[str, float] = {}
    for kind in kinds_of(options.scores):
        before = time.perf_counter()
        evidence[kind] = meter.measure(kind, windows)
        seconds[kind] = time.perf_counter() - before
    before = time.perf_counter()
    sensitivity = calibration_sensitivity(meter, source, own, evidence)
    seconds["sensitivity"] = time.perf_counter() - before
    seen, removals = evidence["activations"], evidence.get("removals")
    names = [data.series[place].name for place in source.locate(own.index)[0].tolist()]
    volatile = is_volatile(volatility(windows[:, : source.context]))
    Scores(
        dataset=args.dataset,
        model=args.model,
        num_blocks=model.num_blocks,
        calibration_windows=len(own.index),
        calibration_sha256=hashlib.sha256(own.index.numpy().tobytes()).hexdigest(),
        calibration_source=options.source,
        calibration_draw=own.draw,
        scores=score_all(options.scores, evidence, options),
        cosine=as_table(seen.cosine),
        cka=as_table(seen.cka),
        diversity=seen.diversity.tolist(),
        removal=break_down(removals, names, volatile) if removals else None,
        sensitivity=sensitivity,
        sublayers=sublayer_losses(model, windows) if options.sublayers else {},
        few_layer_changes=few_layer_changes(seen.stacks, options.few_layer),
    ).write(Path("scores") / f"{pair}.json")
    write_timing("score", pair, started, **seconds)


if __name__ == "__main__":
    run_stage(main)

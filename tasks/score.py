"""Stage `score`: scores every block of a trained model on calibration windows."""

import hashlib
import time
from pathlib import Path

from tasks.artifacts import Score, Scores
from tasks.data.series import SeriesSet, load_series
from tasks.data.windows import WindowSet, training_windows, validation_windows
from tasks.models.registry import load_model
from tasks.params import Params
from tasks.runtime import load_selected, pick_device, run_stage, stage_parser
from tasks.scorers.activations import collect
from tasks.scorers.block_influence import block_influence
from tasks.scorers.few_layer import few_layer
from tasks.scorers.removal_loss import removal_loss
from tasks.training.fit import write_timing


def calibration_windows(params: Params, data: SeriesSet) -> WindowSet:
    """The windows that calibration draws from; never the test range."""
    shape = (params.windows.context, params.windows.horizon)
    if params.scoring.source == "training":
        return training_windows(data, *shape)
    return validation_windows(data, *shape, part=0.5)


def main(argv: list[str]) -> None:
    """models/full/DATASET/MODEL + history -> scores/DATASET/MODEL.json."""
    parser = stage_parser(
        "tasks.score", "Scores the blocks of a model.", selects=["dataset", "model"]
    )
    args = parser.parse_args(argv)
    params = load_selected(datasets=[args.dataset], models=[args.model])
    pair, options = f"{args.dataset}/{args.model}", params.scoring
    device = pick_device(params.runtime.device)
    model = load_model(Path("models/full") / pair).to(device)
    source = calibration_windows(
        params, load_series(Path("data/prepared") / args.dataset / "history")
    )
    index = source.spaced(options.calibration_windows)
    windows = source.batch(index)
    started = time.perf_counter()
    activations = collect(model, windows[:, : params.windows.context], options.batch_size)
    passed = time.perf_counter()
    scores: dict[str, Score] = {
        "few_layer": few_layer(activations, options.few_layer),
        "block_influence": block_influence(activations),
    }
    derived = time.perf_counter()
    scores["removal_loss"] = removal_loss(model, windows.to(device))
    removed = time.perf_counter()
    Scores(
        dataset=args.dataset,
        model=args.model,
        num_blocks=model.num_blocks,
        calibration_windows=len(index),
        calibration_sha256=hashlib.sha256(index.numpy().tobytes()).hexdigest(),
        calibration_source=options.source,
        scores=scores,
        cosine=activations.cosine.tolist(),
        cka=activations.cka.tolist(),
    ).write(Path("scores") / f"{pair}.json")
    write_timing(
        "score",
        pair,
        started,
        instrumented_pass=passed - started,
        activation_scores=derived - passed,
        removal_loss=removed - derived,
    )


if __name__ == "__main__":
    run_stage(main)

"""Stage `train`: trains a model on one dataset, from its first or its pretrained weights."""

import time
from pathlib import Path

from tasks.artifacts.training import StartSummary
from tasks.models.registry import load_model
from tasks.runtime import load_selected, pick_device, run_stage, seed_for, stage_parser
from tasks.training.fit import fit, training_data, write_history, write_timing
from tasks.training.recipe import recipe_of


def main(argv: list[str]) -> None:
    """data/prepared/DATASET/history + models/start/MODEL -> models/full/DATASET/MODEL."""
    parser = stage_parser(
        "tasks.train", "Trains a model on a dataset.", selects=["dataset", "model"]
    )
    args = parser.parse_args(argv)
    params = load_selected(datasets=[args.dataset], models=[args.model])
    pair, started = f"{args.dataset}/{args.model}", time.perf_counter()
    start = Path("models/start") / args.model
    rate = StartSummary.read(start / "start.json").learning_rate
    training = params.training_of(args.model, scale_rate=rate)
    model = load_model(start, pick_device(params.runtime.device))
    data = training_data(params, args.dataset, training)
    recipe = recipe_of(training, seed=seed_for(params.seed, "train", pair))
    summary, loop = fit(model, training, data, recipe, what=f"train {pair}")
    folder = Path("models/full") / pair
    model.save(folder)
    summary.write(folder / "training.json")
    write_history(Path("plots/train") / f"{pair}.csv", loop.students)
    write_timing("train", pair, started)
    loop.discard_state()


if __name__ == "__main__":
    run_stage(main)

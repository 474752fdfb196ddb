"""Stage `pretrain`: trains a model on a mix, to be specialised per dataset by `train`."""

import time
from pathlib import Path

import torch

from tasks.artifacts.training import StartSummary
from tasks.data.mixes import load_mix
from tasks.data.windows import training_windows, validation_windows
from tasks.models.registry import load_model
from tasks.runtime import load_selected, pick_device, run_stage, seed_for, stage_parser
from tasks.training.fit import TrainingData, fit, write_history, write_timing
from tasks.training.recipe import recipe_of
from tasks.training.replay import sample_windows, save_replay


def main(argv: list[str]) -> None:
    """data/mixes/MIX.json + models/start/MODEL -> data/pretrained/MODEL."""
    parser = stage_parser("tasks.pretrain", "Pretrains a model on a mix.", selects=["model", "mix"])
    args = parser.parse_args(argv)
    params = load_selected(models=[args.model])
    started = time.perf_counter()
    start = Path("models/start") / args.model
    rate = StartSummary.read(start / "start.json").learning_rate
    training = params.training_of(args.model, scale_rate=rate)
    model = load_model(start, pick_device(params.runtime.device))
    model.set_origin(f"pretrained on {args.mix}")
    mix = params.mixes[args.mix]
    series, weight = load_mix(Path("data/mixes") / f"{args.mix}.json", mix, Path())
    shape = (params.windows.context, params.windows.horizon)
    valid = validation_windows(series, *shape)
    data = TrainingData(
        training_windows(series, *shape, weight=weight),
        valid.batch(valid.spaced(training.valid_windows)),
    )
    recipe = recipe_of(training, seed=seed_for(params.seed, "pretrain", args.model))
    summary, loop = fit(model, training, data, recipe, what=f"pretrain {args.model}")
    folder = Path("data/pretrained") / args.model
    model.save(folder)
    generator = torch.Generator().manual_seed(seed_for(params.seed, "replay", args.model))
    save_replay(folder, sample_windows(data.windows, mix.replay_windows, generator))
    summary.write(folder / "training.json")
    write_history(Path("plots/pretrain") / f"{args.model}.csv", loop.students)
    write_timing("pretrain", args.model, started)
    loop.discard_state()


if __name__ == "__main__":
    run_stage(main)

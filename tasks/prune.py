"""Stage `prune`: keeps the chosen blocks of a full model and heals what is left."""

import time
from pathlib import Path

from tasks.artifacts.search import SearchResult
from tasks.artifacts.training import HealedOption, PruneSummary
from tasks.models.registry import load_in_units, load_model
from tasks.runtime import load_selected, pick_device, run_stage, stage_parser
from tasks.training.fit import write_history, write_timing
from tasks.training.healing import HealingJob, make_healer
from tasks.training.loop import validation_mse


def main(argv: list[str]) -> None:
    """models/full/DATASET/MODEL + search.json -> models/pruned/DATASET/MODEL.

    The teacher is the full model with the same extra tuning: on validation it is never worse than
    the one that is pruned, which is its own first checkpoint.
    """
    parser = stage_parser("tasks.prune", "Prunes and heals a model.", selects=["dataset", "model"])
    args = parser.parse_args(argv)
    params = load_selected(datasets=[args.dataset], models=[args.model])
    pair, started = f"{args.dataset}/{args.model}", time.perf_counter()
    search = SearchResult.read(Path("search") / pair / "search.json")
    keep = search.keep
    device = pick_device(params.runtime.device)
    full = load_in_units(Path("models/full") / pair, search.granularity, device)
    teacher = load_model(Path("search") / pair / "full_extra", device)
    healer = make_healer(params, args.dataset, args.model, full=full, teacher=teacher)
    with full.only(keep):
        unhealed = validation_mse(full, healer.data.valid.to(device))
    healed = healer.heal(
        [HealingJob(option.name, tuple(keep), option) for option in healer.options],
        steps=params.healing.steps,
        state_folder=Path(".state/prune") / pair,
        what=f"prune {pair}",
    )
    best = min(healed.students, key=lambda student: student.best_valid)
    folder = Path("models/pruned") / pair
    best.model.save(folder)
    PruneSummary(
        granularity=search.granularity,
        keep=keep,
        valid_mse_unhealed=unhealed,
        options=[
            HealedOption(name=student.name, training=student.summary(healed.precision))
            for student in healed.students
        ],
        chosen=best.name,
    ).write(folder / "prune.json")
    write_history(Path("plots/heal") / f"{pair}.csv", healed.students)
    write_timing("prune", pair, started)
    healed.discard_state()


if __name__ == "__main__":
    run_stage(main)

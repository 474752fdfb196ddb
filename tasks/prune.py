"""Stage `prune`: keeps the chosen blocks of a full model and heals what is left."""

import time
from pathlib import Path

from tasks.artifacts import HealedOption, PruneSummary, SearchResult, StartSummary
from tasks.models.registry import load_model
from tasks.runtime import load_selected, pick_device, run_stage, seed_for, stage_parser
from tasks.training.fit import training_data, write_history, write_timing
from tasks.training.healing import heal, healing_recipe, pruned_student
from tasks.training.loop import validation_mse


def main(argv: list[str]) -> None:
    """models/full/DATASET/MODEL + search.json -> models/pruned/DATASET/MODEL."""
    parser = stage_parser("tasks.prune", "Prunes and heals a model.", selects=["dataset", "model"])
    args = parser.parse_args(argv)
    params = load_selected(datasets=[args.dataset], models=[args.model])
    pair, started = f"{args.dataset}/{args.model}", time.perf_counter()
    start = StartSummary.read(Path("models/start") / args.model / "start.json")
    keep = SearchResult.read(Path("search") / pair / "search.json").keep
    full = load_model(Path("models/full") / pair).to(pick_device(params.runtime.device))
    training = params.training_of(args.model, scale_rate=start.scale.learning_rate)
    data = training_data(params, args.dataset, training)
    healing = params.healing
    students = [
        pruned_student(
            option,
            full,
            keep,
            steps=healing.steps,
            rate=healing.learning_rate or start.scale.learning_rate,
            distillation=healing.distillation if option == "distilled" else 0.0,
        )
        for option in healing.options
    ]
    unhealed = validation_mse(students[0].model, data.valid.to(next(full.parameters()).device))
    loop = heal(
        students,
        healing_recipe(training, healing, seed=seed_for(params.seed, "heal", pair)),
        data,
        teacher=full,
        state_folder=Path(".state/prune") / pair,
        what=f"prune {pair}",
    )
    best = min(students, key=lambda student: student.best_valid)
    folder = Path("models/pruned") / pair
    best.model.save(folder)
    PruneSummary.model_validate(
        {
            "keep": keep,
            "valid_mse_unhealed": unhealed,
            "options": [
                HealedOption.model_validate({"name": s.name, "training": s.summary(loop.precision)})
                for s in students
            ],
            "chosen": best.name,
        }
    ).write(folder / "prune.json")
    write_history(Path("plots/heal") / f"{pair}.csv", loop)
    write_timing("prune", pair, started)
    loop.discard_state()


if __name__ == "__main__":
    run_stage(main)

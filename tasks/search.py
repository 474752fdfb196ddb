"""Stage `search`: an Optuna study over masks, then the best of them healed and re-ranked."""

import time
from pathlib import Path

from tasks.artifacts import Scores, SearchResult, StartSummary, write_csv
from tasks.data.series import load_series
from tasks.data.windows import validation_windows
from tasks.masks.cost import cost_table
from tasks.masks.mask import sizes_of, top_mask
from tasks.models.checkpoint import sha256_of
from tasks.models.native import NativeModel
from tasks.models.registry import load_model
from tasks.params import Params
from tasks.runtime import load_selected, pick_device, run_stage, seed_for, stage_parser
from tasks.searchers.climb import Ladder, climb
from tasks.searchers.evaluator import MaskEvaluator
from tasks.searchers.rungs import choose, pick_candidates
from tasks.searchers.study import Plan, pareto_front, run_study
from tasks.training.fit import training_data, write_timing
from tasks.training.healing import healing_recipe, save_control
from tasks.training.state import fingerprint


def main(argv: list[str]) -> None:
    """models/full/DATASET/MODEL + scores -> search/DATASET/MODEL."""
    parser = stage_parser(
        "tasks.search", "Searches the blocks to keep.", selects=["dataset", "model"]
    )
    args = parser.parse_args(argv)
    params = load_selected(datasets=[args.dataset], models=[args.model])
    pair, options = f"{args.dataset}/{args.model}", params.search
    started = time.perf_counter()
    folder, state = Path("models/full") / pair, Path(".state/search") / pair
    model = load_model(folder).to(pick_device(params.runtime.device))
    scores = Scores.read(Path("scores") / f"{pair}.json")
    sizes = sizes_of(options.shares, model.num_blocks)
    plan = Plan(
        name=_study_name(params, folder, scores),
        num_blocks=model.num_blocks,
        sizes=sizes,
        proposals=[
            (name, top_mask(score.values, size))
            for size in sizes
            for name, score in scores.scores.items()
        ],
        costs=cost_table(options.cost, model),
        seed=seed_for(params.seed, "search", pair),
    )
    history = load_series(Path("data/prepared") / args.dataset / "history")
    source = validation_windows(history, params.windows.context, params.windows.horizon)
    evaluator = MaskEvaluator(model, source.batch(source.spaced(options.valid_windows)))
    trials = run_study(plan, options, evaluator, state / "journal.log", f"search {pair}")
    searched = time.perf_counter()
    ladder = _ladder(params, args.dataset, args.model, model, state)
    climbed = climb(
        ladder,
        pick_candidates(trials, options.heal_top, list(scores.scores)),
        options.heal_steps,
    )
    full_error = climbed.extra.best_valid  # its first evaluation is the full model as trained
    mask, within, reason = choose(climbed.full, full_error, options.margin)
    out = Path("search") / pair
    save_control(out / "full_extra", climbed.extra, range(model.num_blocks), climbed.precision)
    write_csv(out / "trials.csv", trials)
    front = pareto_front(trials)
    for path in (out / "front.csv", Path("plots/front") / f"{pair}.csv"):
        write_csv(path, front)
    SearchResult(
        dataset=args.dataset,
        model=args.model,
        num_blocks=model.num_blocks,
        sizes=sizes,
        exhaustive=plan.is_exhaustive(options),
        num_masks=int(trials["keep"].nunique()),
        num_trials=len(trials),
        margin=options.margin,
        full_valid_mse=full_error,
        candidates=climbed.candidates(),
        rank_correlation=climbed.correlation(),
        rank_correlation_by_size={str(size): climbed.correlation(size) for size in sizes},
        keep=list(mask),
        within_margin=within,
        reason=reason,
    ).write(out / "search.json")
    healed = time.perf_counter() - searched
    write_timing("search", pair, started, study=searched - started, rungs=healed)


def _study_name(params: Params, folder: Path, scores: Scores) -> str:
    weights = [sha256_of(path) for path in sorted(folder.rglob("*.safetensors"))]
    settings = (weights, scores, params.search, params.seed, params.windows)
    return fingerprint(settings, [])[:24]


def _ladder(params: Params, dataset: str, name: str, model: NativeModel, state: Path) -> Ladder:
    pair, start = f"{dataset}/{name}", Path("models/start") / name / "start.json"
    scale_rate = StartSummary.read(start).scale.learning_rate
    training = params.training_of(name, scale_rate=scale_rate)
    return Ladder(
        full=model,
        data=training_data(params, dataset, training),
        recipe=healing_recipe(training, params.healing, seed=seed_for(params.seed, "heal", pair)),
        healing=params.healing,
        rate=params.healing.learning_rate or scale_rate,
        state=state,
        what=f"search {pair}",
    )


if __name__ == "__main__":
    run_stage(main)

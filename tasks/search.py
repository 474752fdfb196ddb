"""Stage `search`: an Optuna study over masks, then the best of them healed and re-ranked."""

import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path


from tasks.artifacts import Candidate, Scores, SearchResult, StartSummary, write_csv
from tasks.data.series import load_series
from tasks.data.windows import validation_windows
from tasks.masks.cost import cost_table
from tasks.masks.mask import Mask, format_mask, sizes_of, top_mask
from tasks.models.checkpoint import load_model, sha256_of
from tasks.models.native import NativeModel
from tasks.params import Params
from tasks.runtime import load_selected, pick_device, run_stage, seed_for, stage_parser
from tasks.searchers.evaluator import MaskEvaluator
from tasks.searchers.rungs import Entry, choose, pick_candidates, rank_correlation
from tasks.searchers.study import Plan, pareto_front, run_study
from tasks.training.fit import TrainingData, training_data, write_timing
from tasks.training.healing import errors_of, heal, healing_recipe, pruned_student
from tasks.training.loop import validation_mse
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
    entries = pick_candidates(trials, options.heal_top, list(scores.scores))
    result = _climb(params, args.dataset, args.model, model, entries, state)
    out = Path("search") / pair
    write_csv(out / "trials.csv", trials)
    write_csv(out / "front.csv", pareto_front(trials))
    SearchResult(
        dataset=args.dataset,
        model=args.model,
        num_blocks=model.num_blocks,
        sizes=sizes,
        exhaustive=plan.is_exhaustive(options),
        num_masks=int(trials["keep"].nunique()),
        num_trials=len(trials),
        margin=options.margin,
        **result,
    ).write(out / "search.json")
    healed = time.perf_counter() - searched
    write_timing("search", pair, started, study=searched - started, rungs=healed)


def _study_name(params: Params, folder: Path, scores: Scores) -> str:
    weights = [sha256_of(path) for path in sorted(folder.rglob("*.safetensors"))]
    settings = (weights, scores, params.search, params.seed, params.windows)
    return fingerprint(settings, [])[:24]


def _climb(
    params: Params,
    dataset: str,
    name: str,
    model: NativeModel,
    entries: Sequence[Entry],
    state: Path,
) -> dict[str, object]:
    """Heals all candidates briefly, the best of each size fully, and chooses."""
    pair, start = f"{dataset}/{name}", StartSummary.read(Path("models/start") / name / "start.json")
    training = params.training_of(name, scale_rate=start.scale.learning_rate)
    data = training_data(params, dataset, training)
    rate = params.healing.learning_rate or start.scale.learning_rate
    recipe = healing_recipe(training, params.healing, seed=seed_for(params.seed, "rungs", pair))
    weight = params.healing.distillation if "distilled" in params.healing.options else 0.0

    def rung(masks: Sequence[Mask], steps: int, label: str) -> dict[Mask, float]:
        students = [
            pruned_student(
                format_mask(m).replace(" ", "-"), model, m, steps=steps, rate=rate, distillation=weight
            )
            for m in masks
        ]
        rhythm = replace(recipe, eval_every=max(1, min(recipe.eval_every, steps)))
        loop = heal(
            students, rhythm, data, teacher=model, state_folder=state / label,
            what=f"search {pair} {label}",
        )
        errors = errors_of(loop)
        loop.discard_state()
        return dict(zip(masks, errors.values(), strict=True))

    brief = rung([entry.mask for entry in entries], params.search.heal_steps, "short healing")
    best: dict[int, Mask] = {}
    for mask in sorted(brief, key=lambda mask: brief[mask]):
        best.setdefault(len(mask), mask)
    full = rung(list(best.values()), params.healing.steps, "full healing")
    full_error = _error(model, data)
    mask, within, reason = choose(full, full_error, params.search.margin)
    return {
        "full_valid_mse": full_error,
        "candidates": _candidates(entries, brief, full),
        "rank_correlation": _correlation(entries, brief),
        "rank_correlation_by_size": {
            str(size): _correlation([e for e in entries if len(e.mask) == size], brief)
            for size in sorted(best)
        },
        "keep": list(mask),
        "within_margin": within,
        "reason": reason,
    }


def _error(model: NativeModel, data: TrainingData) -> float:
    return validation_mse(model, data.valid.to(next(model.parameters()).device))


def _correlation(entries: Sequence[Entry], healed: dict[Mask, float]) -> float | None:
    return rank_correlation([e.unhealed for e in entries], [healed[e.mask] for e in entries])


def _candidates(
    entries: Sequence[Entry], brief: dict[Mask, float], full: dict[Mask, float]
) -> list[Candidate]:
    return [
        Candidate(
            keep=list(entry.mask),
            source=entry.source,
            valid_mse_before=entry.unhealed,
            valid_mse_healed=brief[entry.mask],
            valid_mse_fully_healed=full.get(entry.mask),
            cost=entry.cost,
        )
        for entry in entries
    ]


if __name__ == "__main__":
    run_stage(main)

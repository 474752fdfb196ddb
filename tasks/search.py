"""Stage `search`: an Optuna study over masks, then the best of them healed and re-ranked."""

import argparse
import os
import sys
import time
from pathlib import Path

from tasks.artifacts.files import sha256_of, write_csv
from tasks.artifacts.scoring import Scores
from tasks.artifacts.search import SearchResult
from tasks.data.series import load_series
from tasks.masks.cost import costs_of
from tasks.masks.mask import Mask, own_mask, sizes_of
from tasks.models.base import ForecastModel
from tasks.models.registry import load_in_units
from tasks.params import Params
from tasks.pipeline.code import ROOT, checksums, code_files
from tasks.runtime import load_selected, pick_device, run_stage, seed_for, stage_parser
from tasks.searchers.climb import Climb, Ladder, climb
from tasks.searchers.evaluator import MaskEvaluator
from tasks.searchers.queue import StudyQueue
from tasks.searchers.rungs import choose, pick_candidates
from tasks.searchers.storage import open_storage
from tasks.searchers.study import Gauge, Plan, fully_measured, pareto_front, run_study
from tasks.searchers.windows import search_windows
from tasks.searchers.workers import Workers, measure_for, processes_of
from tasks.training.fit import write_timing
from tasks.training.healing import make_healer, save_control
from tasks.training.state import fingerprint


def main(argv: list[str]) -> None:
    """models/full/DATASET/MODEL + scores -> search/DATASET/MODEL."""
    parser = stage_parser(
        "tasks.search", "Searches the blocks to keep.", selects=["dataset", "model"]
    )
    parser.add_argument(
        "--worker", action="store_true", help="only measure masks, for the search that leads"
    )
    parser.add_argument("--leader", type=int, help=argparse.SUPPRESS)  # process to end with
    args = parser.parse_args(argv)
    params = load_selected(datasets=[args.dataset], models=[args.model])
    pair, options = f"{args.dataset}/{args.model}", params.search
    started = time.perf_counter()
    state = Path(".state/search") / pair
    device = pick_device(params.runtime.device)
    model = load_in_units(Path("models/full") / pair, params.granularity, device)
    scores = Scores.read(Path("scores") / f"{pair}.json")
    gauge = _gauge(params, args.dataset, args.model, model, scores)
    storage = open_storage(params.runtime.search_storage, state / "journal.log")
    if args.worker:
        measure_for(gauge, storage, args.leader, f"search {pair}")
        return
    plan, sizes = gauge.plan, gauge.plan.sizes
    command = [sys.executable, "-m", "tasks.search", *argv, "--worker", f"--leader={os.getpid()}"]
    queue = StudyQueue.create(storage, plan.name)
    helpers = 0 if queue.is_closed else processes_of(params.runtime, options) - 1
    with Workers(command, helpers) as workers:
        all_trials = run_study(gauge, queue, f"search {pair}", watch=workers.watch)
    trials = fully_measured(all_trials)
    searched = time.perf_counter()
    climbed = climb(
        _ladder(params, args.dataset, args.model, model, state),
        pick_candidates(trials, options.heal_top, plan.proposed_by(options.heal_scores)),
        options.rungs,
        params.healing.steps,
    )
    full_error = climbed.extra.best_valid  # its first evaluation is the full model as trained
    mask, within, reason = _choice(climbed, full_error, options.margin)
    out = Path("search") / pair
    save_control(out / "full_extra", climbed.extra, range(model.num_blocks), climbed.precision)
    write_csv(out / "trials.csv", all_trials)
    front = pareto_front(trials)
    for path in (out / "front.csv", Path("plots/front") / f"{pair}.csv"):
        write_csv(path, front)
    SearchResult(
        dataset=args.dataset,
        model=args.model,
        granularity=params.granularity,
        num_blocks=model.num_blocks,
        sizes=sizes,
        exhaustive=plan.is_exhaustive(options),
        num_masks=int(all_trials["keep"].nunique()),
        num_trials=len(all_trials),
        margin=options.margin,
        full_valid_mse=full_error,
        full_unhealed_mse=gauge.evaluator.error(tuple(range(model.num_blocks))),
        candidates=climbed.candidates(),
        rungs=options.rungs,
        rank_correlations=[rung.tau for rung in climbed.rungs],
        rank_correlation_by_size={str(size): climbed.correlation(size) for size in sizes},
        keep=list(mask),
        within_margin=within,
        reason=reason,
    ).write(out / "search.json")
    healed = time.perf_counter() - searched
    write_timing("search", pair, started, study=searched - started, rungs=healed)
    climbed.discard_state()


def _choice(climbed: Climb, full_error: float, margin: float) -> tuple[Mask, bool | None, str]:
    if climbed.full:
        return choose(climbed.full, full_error, margin)
    steps = climbed.rungs[-1].steps
    reason = f"the best mask of the only size wanted, by its error after {steps} steps of healing"
    return climbed.finalists[0], None, reason


def _gauge(params: Params, dataset: str, name: str, model: ForecastModel, scores: Scores) -> Gauge:
    pair, options = f"{dataset}/{name}", params.search
    if model.DRAWS_BY_PLACE:  # a race measures masks on other batches: they would not be paired
        options = options.model_copy(update={"racing": False})
    sizes = sizes_of(options.shares, model.num_blocks)
    plan = Plan(
        name=_study_name(params, pair, scores),
        num_blocks=model.num_blocks,
        sizes=sizes,
        proposals=[
            (source, own_mask(score, size))
            for size in sizes
            for source, score in scores.scores.items()
        ],
        costs=costs_of(options.cost, model),
        seed=seed_for(params.seed, "search", pair),
        num_kinds=len(set(model.block_kinds())),
    )
    history = load_series(Path("data/prepared") / dataset / "history")
    training = params.training_of(name, scale_rate=params.rate_of(name))
    windows = search_windows(
        history,
        params.windows.context,
        params.windows.horizon,
        count=options.valid_windows,
        train_share=training.train_share,
    )
    evaluator = MaskEvaluator(model, windows, max_bytes=params.runtime.state_bytes)
    return Gauge(plan, options, evaluator)


def _study_name(params: Params, pair: str, scores: Scores) -> str:
    """A fingerprint of all that the trials come from: a study of anything else begins anew."""
    dataset, _ = pair.split("/")
    folders = (Path("models/full") / pair, Path("data/prepared") / dataset / "history")
    files = [path for folder in folders for path in sorted(folder.iterdir()) if path.is_file()]
    hashes = [sha256_of(path) for path in files]
    code = checksums(ROOT, code_files(ROOT, Path(__file__)))
    settings = (hashes, code, scores, params.search, params.seed, params.windows)
    return fingerprint(settings, [])[:24]


def _ladder(params: Params, dataset: str, name: str, model: ForecastModel, state: Path) -> Ladder:
    return Ladder(
        healer=make_healer(params, dataset, name, full=model, teacher=model),
        state=state,
        what=f"search {dataset}/{name}",
    )


if __name__ == "__main__":
    run_stage(main)

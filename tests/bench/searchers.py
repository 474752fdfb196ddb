"""How near the searchers come to the best of all masks of 3 and of 4 of 12 blocks.

`python -m tests.bench.searchers ROOT` prints the table for a workspace with trained and scored
models, for example .state/presets/real. Every mask is measured once (through the trie); the
searches then find every error in the evaluator's memo, so they take seconds each, `gp` half a
minute.
"""

import argparse
import contextlib
import io
from collections.abc import Sequence
from itertools import combinations
from math import comb
from pathlib import Path

import optuna
import pandas as pd
from optuna.storages import InMemoryStorage

from flows import dvc
from flows.environment import stage_environment
from flows.workspace import make_workspace
from tasks.artifacts.scoring import Scores
from tasks.data.series import load_series
from tasks.data.windows import validation_windows
from tasks.masks.cost import share_costs
from tasks.masks.mask import Mask, top_mask
from tasks.metrics.latency import torch_threads
from tasks.models.registry import load_model
from tasks.params import Params, load_params
from tasks.searchers.evaluator import MaskEvaluator
from tasks.searchers.queue import StudyQueue
from tasks.searchers.study import Gauge, Plan, run_study
from tasks.sections.search import Search
from tests.bench.errors import DATASETS, MODEL, PRESET

SIZES = (3, 4)
SEEDS = (0, 1, 2)
SHARE = 0.15  # of the evaluations of an exhaustive search
NEAR = 0.01  # of the optimum
NEVER_REPEAT = ("swap", "surrogate")
SAMPLERS = (*NEVER_REPEAT, "gp", "tpe", "nsga2", "random")


def measured(root: Path, dataset: str, model: str, params: Params) -> MaskEvaluator:
    """An evaluator that knows the error of every mask of these sizes."""
    full = load_model(root / "models/full" / dataset / model)
    history = load_series(root / "data/prepared" / dataset / "history")
    source = validation_windows(history, params.windows.context, params.windows.horizon)
    evaluator = MaskEvaluator(full, source.batch(source.spaced(params.search.valid_windows)))
    blocks = range(full.num_blocks)
    evaluator.errors([mask for size in SIZES for mask in combinations(blocks, size)])
    return evaluator


def replay(
    evaluator: MaskEvaluator,
    proposals: Sequence[tuple[str, Mask]],
    *,
    size: int,
    sampler: str,
    seed: int,
    batch: int,
) -> pd.Series:
    """The errors of the different masks of one search, in order, as many as the budget allows."""
    num_blocks = evaluator.model.num_blocks
    budget = int(SHARE * comb(num_blocks, size))
    trials = budget if sampler in NEVER_REPEAT else 2 * budget
    plan = Plan(
        name="replay",
        num_blocks=num_blocks,
        sizes=[size],
        proposals=list(proposals),
        costs=share_costs(num_blocks),
        seed=seed,
    )
    options = Search.model_validate(
        {"exhaustive_limit": 0, "trials": trials, "sampler": sampler, "batch": batch}
    )
    queue = StudyQueue.create(InMemoryStorage(), plan.name)
    with contextlib.redirect_stdout(io.StringIO()):
        found = run_study(Gauge(plan, options, evaluator), queue, "replay")
    return found.drop_duplicates("keep")["valid_mse"].iloc[:budget].reset_index(drop=True)


def compare(
    root: Path,
    models: Sequence[str],
    samplers: Sequence[str],
    *,
    datasets: Sequence[str] = DATASETS,
    batch: int | None = None,
) -> pd.DataFrame:
    """One row per model, dataset, size, sampler and seed: regret, evaluations to come near."""
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    params = load_params(root / "params.yaml")
    rows = []
    for model, dataset in ((m, d) for m in models for d in datasets):
        evaluator = measured(root, dataset, model, params)
        scores = Scores.read(root / "scores" / dataset / f"{model}.json").scores
        for size in SIZES:
            known = evaluator.memo.items()
            optimum = min(error for mask, error in known if len(mask) == size)
            proposals = [(name, top_mask(score.values, size)) for name, score in scores.items()]
            for sampler, seed in ((name, seed) for name in samplers for seed in SEEDS):
                errors = replay(
                    evaluator,
                    proposals,
                    size=size,
                    sampler=sampler,
                    seed=seed,
                    batch=batch or Search().batch,
                )
                near = errors.index[errors <= optimum * (1 + NEAR)]
                rows.append(
                    {
                        "model": model,
                        "dataset": dataset,
                        "size": size,
                        "sampler": sampler,
                        "seed": seed,
                        "regret": errors.min() / optimum - 1,
                        "evaluations": near[0] + 1 if len(near) else float("inf"),
                        "share": (near[0] + 1) / comb(12, size) if len(near) else 1.0,
                    }
                )
    return pd.DataFrame(rows)


def default_search(project: Path) -> dict[str, float]:
    """Of the default sampler the worst regret and the largest share of evaluations it needed."""
    root = make_workspace(project, PRESET)
    for dataset in DATASETS:
        stage = f"score@{dataset}-{MODEL}"
        if dvc.changed(root, stage):
            dvc.reproduce(root, stage, environment=stage_environment(1), on_line=print)
    found = compare(root, [MODEL], [Search().sampler])
    return {"regret": float(found["regret"].max()), "share": float(found["share"].max())}


def main() -> None:
    """Prints every search, and a line per sampler."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("root", type=Path)
    parser.add_argument("--models", nargs="+", default=[MODEL])
    parser.add_argument("--datasets", nargs="+", default=DATASETS)
    parser.add_argument("--samplers", nargs="+", default=SAMPLERS)
    parser.add_argument("--batch", type=int)
    args = parser.parse_args()
    with torch_threads(1):
        found = compare(
            args.root, args.models, args.samplers, datasets=args.datasets, batch=args.batch
        )
    print(found.to_string(index=False))
    found["within"] = found["regret"] <= NEAR
    for model in args.models:
        table = found[found["model"] == model].groupby(["sampler", "size"])
        lines = table.agg(
            within=("within", "mean"),
            mean_regret=("regret", "mean"),
            worst_regret=("regret", "max"),
            median_evaluations=("evaluations", "median"),
            worst_evaluations=("evaluations", "max"),
        )
        print(f"\n{model}, {SHARE:.0%} of the evaluations\n{lines.to_string()}")


if __name__ == "__main__":
    main()

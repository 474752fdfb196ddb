"""The study's tables: one row per task, and in how many tasks pruning keeps its promise.

A task is one dataset, model, horizon and seed. "At most 30 %" takes, of the sizes searched that
keep at most that share of the blocks, the one with the lowest validation error.
"""

from collections.abc import Iterator, Mapping

import numpy as np
import pandas as pd

from tasks.artifacts.evaluation import Evaluation

CAPS = (0.3, 0.5)  # of the blocks
MARGIN = 0.02  # of the full model's error
TASK = ["dataset", "model", "horizon", "seed"]
PLACE = ["cap", "horizon", "model"]
RIVALS = ("random", "first", "even", "scratch", "scratch_replay", "linear")
COLUMNS = (
    "zero_shot", "as_trained", "full", "pruned", "difference", "by_seed", "verdicts", "random",
    "scratch", "scratch_replay", "linear", "promised",
)  # fmt: skip
SIGNED = ("difference", "median", "promised")  # columns in percent
SHARES = ("cap", "kept")
P_VALUES = ("p", "p_without_block_0")
SMALLEST_P_VALUE = 0.001  # that is told
VERDICTS = ("superior", "non-inferior", "inconclusive", "inferior")


def task_row(evaluation: Evaluation, place: Mapping[str, object]) -> dict[str, object]:
    """One row of the study: test MSE of the full and the pruned model and of every control.

    Args:
        evaluation: of one dataset and model.
        place: the columns that say where it comes from: horizon, seed, share.
    """
    errors = {name: one.mse for name, one in evaluation.controls.items()}
    drawn = [errors.pop(name) for name in list(errors) if name.startswith("random_")]
    return {
        "dataset": evaluation.dataset,
        "model": evaluation.model,
        **place,
        "granularity": evaluation.granularity,
        "blocks": evaluation.layers_full,
        "kept": evaluation.layers_kept,
        "keep": " ".join(map(str, evaluation.keep)),
        "valid_full": evaluation.valid_mse["full"],
        "valid_pruned": evaluation.valid_mse["pruned"],
        "zero_shot": None if evaluation.zero_shot is None else evaluation.zero_shot.mse,
        "full_untuned": evaluation.full_untuned.mse,
        "full_by": "" if evaluation.full_is == "full" else evaluation.ways["full_extra"],
        "pruned_by": evaluation.ways["pruned"],
        "scratch_by": evaluation.ways["scratch"],
        "full": evaluation.full.mse,
        "pruned": evaluation.pruned.mse,
        "difference": evaluation.difference,
        "low": evaluation.interval[0],
        "high": evaluation.interval[1],
        "verdict": evaluation.verdict,
        "random": float(np.mean(drawn)),
        "random_best": min(drawn),
        "random_worst": max(drawn),
        **errors,
        "selection_adds": evaluation.selection_adds,
        "advice": evaluation.recommendation,
    }


def best_within(rows: pd.DataFrame, cap: float) -> pd.DataFrame:
    """Of every task the row of the best size, by validation, that keeps at most this share.

    Left out are tasks in which nothing was wanted that the cap below this one keeps out.
    """
    below = max((other for other in CAPS if other < cap), default=-1.0)
    shares = rows["kept"] / rows["blocks"] - 1e-9
    small = rows[shares <= cap]
    reached = (shares[shares <= cap] > below).groupby([small[name] for name in TASK])
    best = small[reached.transform("any")].sort_values(["valid_pruned", "kept"], kind="stable")
    best = best.drop_duplicates(TASK)
    return best.sort_values(TASK, kind="stable").reset_index(drop=True)


def caps_of(rows: pd.DataFrame) -> tuple[float, ...]:
    """The caps that let in a size which the cap before keeps out; above all, the largest size."""
    largest = float((rows["kept"] / rows["blocks"]).max())
    caps = [*CAPS, largest] if largest > CAPS[-1] else CAPS
    return tuple(cap for cap in caps if len(best_within(rows, cap)))


def common_tasks(rows: pd.DataFrame, caps: tuple[float, ...]) -> pd.DataFrame:
    """The rows of the tasks that every cap has, so that caps can be compared."""
    keys = [set(map(tuple, best_within(rows, cap)[TASK].to_numpy())) for cap in caps]
    kept = set.intersection(*keys)
    return rows[[tuple(task) in kept for task in rows[TASK].to_numpy()]]


def outcome_table(rows: pd.DataFrame, caps: tuple[float, ...] = CAPS) -> pd.DataFrame:
    """Per cap, horizon and model, and over all models, the tasks and in how many of them it holds.

    `within_margin` and `no_worse` compare test errors as they are (margin 2 % and 0) with the full
    model's, `as_trained_` with that of the full model before its extra tuning. Verdicts are those
    of one dataset, before any correction for their number. Random masks of which the chosen one is
    no better than any pass the rule of `selection_adds` in about a quarter of tasks
    (`does_selection_add`).
    """
    table = []
    for place, group in _groups(rows, caps):
        as_trained = group["pruned"] / group["full_untuned"] - 1
        table.append(
            place
            | {
                "seeds": group["seed"].nunique(),
                "tasks": len(group),
                "kept": (group["kept"] / group["blocks"]).mean(),
                "difference": group["difference"].mean(),
                "median": group["difference"].median(),
                "within_margin": (group["difference"] <= MARGIN).sum(),
                "no_worse": (group["difference"] <= 0).sum(),
                "as_trained_within_margin": (as_trained <= MARGIN).sum(),
                "as_trained_no_worse": (as_trained <= 0).sum(),
                **{name.replace("-", "_"): (group["verdict"] == name).sum() for name in VERDICTS},
                "selection_adds": group["selection_adds"].sum(),
            }
        )
    return pd.DataFrame(table)


def rival_table(rows: pd.DataFrame, caps: tuple[float, ...] = CAPS) -> pd.DataFrame:
    """Per cap, horizon, model and rival: in how many of how many contests the pruned model leads.

    A contest is a task in which the rival was made and is another model; who leads has the lower
    test error. `random` is the mean error of the random masks.
    """
    table = []
    for place, group in _groups(rows, caps):
        for rival in RIVALS:
            errors = group.get(rival, pd.Series(np.nan, group.index))
            contests = errors.notna() & (errors != group["pruned"])
            leads = int((contests & (group["pruned"] < errors)).sum())
            table.append(place | {"rival": rival, "leads": leads, "contests": int(contests.sum())})
    return pd.DataFrame(table)


def leads_by_rival(rivals: pd.DataFrame) -> pd.DataFrame:
    """The rows of `rival_table` side by side: a column per rival, "LEADS of CONTESTS"."""
    told = rivals["leads"].astype(str) + " of " + rivals["contests"].astype(str)
    told = told.where(rivals["contests"] > 0, "-").set_axis(
        pd.MultiIndex.from_frame(rivals[[*PLACE, "rival"]])
    )
    return told.unstack("rival", sort=False).rename_axis(columns=None).reset_index()


def _groups(
    rows: pd.DataFrame, caps: tuple[float, ...]
) -> Iterator[tuple[dict[str, object], pd.DataFrame]]:
    """The tasks of each model, and of all where there are several; by cap and horizon."""
    for cap in caps:
        for horizon, tasks in best_within(rows, cap).groupby("horizon"):
            models = list(tasks.groupby("model", sort=False))
            for model, group in [*models, *([("all", tasks)] if len(models) > 1 else [])]:
                yield dict(zip(PLACE, (cap, horizon, model), strict=True)), group


def task_table(rows: pd.DataFrame, cap: float) -> pd.DataFrame:
    """Means over the seeds, one row per model, horizon and dataset, at most `cap` of the blocks.

    `difference` is that of the means, on the test range, `by_seed` those of the seeds one by one,
    and `promised` the same as `difference` on the validation range, by which everything was
    chosen.
    """
    chosen = best_within(rows, cap)
    tasks = chosen.groupby(["model", "horizon", "dataset"])
    found = tasks.mean(numeric_only=True).rename(columns={"full_untuned": "as_trained"})
    found["difference"] = found["pruned"] / found["full"] - 1
    if chosen["seed"].nunique() > 1:
        found["by_seed"] = tasks["difference"].agg(_by_seed)
    found["verdicts"] = tasks["verdict"].agg(_verdicts)
    found["promised"] = found["valid_pruned"] / found["valid_full"] - 1
    return found[[name for name in COLUMNS if name in found]].reset_index()


def _by_seed(differences: "pd.Series[float]") -> str:
    return ", ".join(f"{100 * one:+.1f}" for one in differences) + " %"


def _verdicts(verdicts: "pd.Series[str]") -> str:
    """Each with its number where there are several seeds, the best first."""
    if len(verdicts) == 1:
        return str(verdicts.iloc[0])
    counts = verdicts.value_counts()
    return ", ".join(f"{counts[name]} {name}" for name in VERDICTS if name in counts)


def markdown_of(table: pd.DataFrame) -> str:
    """The table in Markdown; errors with three decimals, shares and differences in percent."""
    lines = ["| " + " | ".join(name.replace("_", " ") for name in table.columns) + " |"]
    lines.append("|" + "---|" * len(table.columns))
    for row in table.itertuples(index=False):
        cells = [_cell(name, value) for name, value in zip(table.columns, row, strict=True)]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def _cell(name: str, value: object) -> str:
    if not isinstance(value, float):
        return str(value)
    if np.isnan(value):
        return "-"
    if name in SIGNED:
        return f"{100 * value:+.1f} %"
    if name in SHARES:
        return f"{100 * value:.0f} %"
    if name in P_VALUES and value < SMALLEST_P_VALUE:
        return f"<{SMALLEST_P_VALUE:g}"
    return f"{value:.3f}"

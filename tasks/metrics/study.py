"""The study's tables: one row per task, and the share of tasks in which pruning keeps its promise.

A task is one dataset, model, horizon and seed. "At most 30 %" takes, of the sizes searched that
keep at most that share of the blocks, the one with the lowest validation error.
"""

from collections.abc import Mapping

import numpy as np
import pandas as pd

from tasks.artifacts.evaluation import Evaluation

CAPS = (0.3, 0.5)  # of the blocks
MARGIN = 0.02  # of the full model's error
TASK = ["dataset", "model", "horizon", "seed"]
RIVALS = ("random", "first", "even", "scratch")


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


def share_table(rows: pd.DataFrame, caps: tuple[float, ...] = CAPS) -> pd.DataFrame:
    """Per model, cap and horizon the tasks and, of them, the shares in which it holds.

    `within_margin` and `no_worse` compare test errors as they are (margin 2 % and 0);
    `proven` counts the verdicts superior and non-inferior, before any correction for their number.
    `beats_X` is the share in which the pruned model's test error is below the control's, of the
    tasks in which the control is another model. Random masks of which the chosen one is no better
    than any pass the rule of `selection_adds` in about a quarter of tasks (`does_selection_add`).
    """
    table = []
    for cap in caps:
        found = best_within(rows, cap).groupby(["model", "horizon"], sort=False)
        for (model, horizon), group in found:
            shares = {f"beats_{name}": _share_below(group, name) for name in RIVALS}
            table.append(
                {
                    "model": model,
                    "cap": cap,
                    "horizon": horizon,
                    "seeds": group["seed"].nunique(),
                    "tasks": len(group),
                    "kept": (group["kept"] / group["blocks"]).mean(),
                    "difference": group["difference"].mean(),
                    "median": group["difference"].median(),
                    "within_margin": (group["difference"] <= MARGIN).mean(),
                    "no_worse": (group["difference"] <= 0).mean(),
                    "proven": group["verdict"].isin(["superior", "non-inferior"]).mean(),
                    **shares,
                    "selection_adds": group["selection_adds"].mean(),
                }
            )
    return pd.DataFrame(table)


def _share_below(group: pd.DataFrame, rival: str) -> float:
    different = group[group["pruned"] != group[rival]]
    return float((different["pruned"] < different[rival]).mean())


def task_table(rows: pd.DataFrame, cap: float) -> pd.DataFrame:
    """Means over the seeds, one row per model, horizon and dataset, at most `cap` of the blocks.

    `difference` is that of the means, on the test range, and `promised` the same on the validation
    range, by which everything was chosen. Of several seeds, counted in `seeds`, `least` and `most`
    are the lowest and the highest difference.
    """
    chosen = best_within(rows, cap)
    errors = ["zero_shot", "full", "pruned", "random", "scratch", "linear"]
    if "scratch_replay" in chosen:
        errors.insert(-1, "scratch_replay")
    tasks = chosen.groupby(["model", "horizon", "dataset"], sort=False)
    means = tasks[[*errors, "valid_full", "valid_pruned"]].mean()
    found = means[errors].copy()
    place = errors.index("pruned") + 1
    found.insert(place, "difference", means["pruned"] / means["full"] - 1)
    if chosen["seed"].nunique() > 1:
        seeds = tasks["seed"].nunique()
        found.insert(0, "seeds", seeds)
        found.insert(place + 2, "least", tasks["difference"].min().where(seeds > 1))
        found.insert(place + 3, "most", tasks["difference"].max().where(seeds > 1))
    found["promised"] = means["valid_pruned"] / means["valid_full"] - 1
    return found.reset_index()


def markdown_of(table: pd.DataFrame) -> str:
    """The table in Markdown; errors with three decimals, shares and differences in percent."""
    signed = {"difference", "median", "least", "most", "promised"}
    percent = {"cap", "kept", *signed} | {
        name for name in table.columns if name.startswith("beats_")
    }
    percent |= {"within_margin", "no_worse", "proven", "selection_adds"}
    lines = ["| " + " | ".join(name.replace("_", " ") for name in table.columns) + " |"]
    lines.append("|" + "---|" * len(table.columns))
    for row in table.itertuples(index=False):
        cells = [
            _cell(value, is_percent=name in percent, is_signed=name in signed)
            for name, value in zip(table.columns, row, strict=True)
        ]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def _cell(value: object, *, is_percent: bool, is_signed: bool) -> str:
    if isinstance(value, float):
        if np.isnan(value):
            return "-"
        if is_percent:
            return f"{100 * value:+.1f} %" if is_signed else f"{100 * value:.0f} %"
        return f"{value:.3f}"
    return str(value)

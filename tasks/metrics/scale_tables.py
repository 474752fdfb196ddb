"""The Markdown tables of one run over several scales."""

import pandas as pd

from tasks.metrics.scale import MEAN, ScaleStudy
from tasks.metrics.study import markdown_of

SHOWN = ("full", "pruned", "random", "random_best", "first", "last", "even", "scratch", "linear")
GOOD = ("superior", "non-inferior")


def markdown_of_study(study: ScaleStudy) -> str:
    """The tables in Markdown, as far as they are there; errors are test MSE on scaled values."""
    parts = [f"Measured on: {study.machine}"] if study.machine else []
    if not study.errors.empty:
        parts += [
            "Error against scale, full model:\n\n" + markdown_of(scale_table(study.errors)),
            "At most the wanted share of the blocks kept and healed, against controls with equal "
            "tuning, means over the datasets:\n\n" + markdown_of(pruning_table(study.errors)),
        ]
    if not study.latency.empty:
        latency = study.latency[["model", "batch", "full_ms", "pruned_ms", "speedup"]]
        parts.append("Latency of a forecast, median milliseconds:\n\n" + markdown_of(latency))
    parts.append(
        "Validation MSE, by which all was chosen, after healing:\n\n"
        + markdown_of(validation_table(study.validation))
    )
    return "\n\n".join(part.rstrip("\n") for part in parts) + "\n"


def scale_table(errors: pd.DataFrame) -> pd.DataFrame:
    """One row per model: its size, how it was trained, and its error on every dataset."""
    rows = []
    for model, group in errors.groupby("model", sort=False):
        first = group.iloc[0]
        facts = {
            "model": model,
            "parameters": f"{first['parameters'] / 1e6:.4g} M",
            "blocks": first["blocks"],
            "rate": f"{first['rate']:g}",
            "steps": first["steps"],
        }
        rows.append(facts | dict(zip(group["dataset"], group["full"], strict=True)))
    return pd.DataFrame(rows)


def validation_table(validation: pd.DataFrame) -> pd.DataFrame:
    """One row per model and dataset of the run: full, pruned, controls."""
    rows = [
        {"model": row["model"], "dataset": row["dataset"]}
        | {"kept": f"{row['kept']} of {row['blocks']}"}
        | {name: row[name] for name in SHOWN if name != "linear"}
        | {"difference": row["difference"]}
        for row in validation.to_dict("records")
    ]
    return pd.DataFrame(rows)


def pruning_table(errors: pd.DataFrame) -> pd.DataFrame:
    """One row per model: means over the datasets, and in how many the pruned one is as good."""
    rows = []
    for model, group in errors.groupby("model", sort=False):
        mean = group[group["dataset"] == MEAN].iloc[0]
        own = group[group["dataset"] != MEAN]
        proven = int(own["verdict"].isin(GOOD).sum())
        rows.append(
            {"model": model, "kept": f"{mean['kept']} of {mean['blocks']}"}
            | {name: mean[name] for name in SHOWN}
            | {"difference": mean["difference"], "proven": f"{proven} of {len(own)}"}
        )
    return pd.DataFrame(rows)

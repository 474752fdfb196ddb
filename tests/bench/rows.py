"""The rows of reports/bench.json: what is measured of each kind, and its bar."""

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Final, Literal

import pandas as pd

from flows.study import FOLDER as STUDIES
from tasks.artifacts.files import read_json, write_csv
from tasks.metrics.study import MARGIN, best_within
from tasks.params import load_params
from tests.bench import healing, verdicts
from tests.bench.errors import full_errors
from tests.bench.healing_table import compare, read_rows
from tests.bench.masks import random_masks_ratio, removal_ratio
from tests.bench.noop import noop_repro
from tests.bench.racing import racing_saving
from tests.bench.searchers import NEAR, SHARE, default_search
from tests.bench.speed import bf16_ratio, pruned_speedup, training_step_ratio
from tests.bench.streaming import measure_streaming

ERROR_BARS = {"etth1": 0.395, "ettm1": 0.315, "weather": 0.18}
FOUNDATION_BARS = {
    ("etth1", "zero_shot"): 0.40,
    ("weather", "zero_shot"): 0.19,
    ("etth1", "full"): 0.385,
    ("weather", "full"): 0.165,
    ("etth1", "pruned"): 0.385,
    ("weather", "pruned"): 0.162,
}
FOUNDATION_MODEL = "foundation-nano-all"
FEW_ROWS_MODEL = "foundation-nano-tenth"
STUDY_HORIZON, STUDY_CAP = 96, 0.3  # at most this share of the blocks
POWER_SETTINGS = (  # test windows and noise as seen there
    ("etth1, stride 1", "as on ETTh1"),
    ("etth1, stride 4", "as on ETTh1"),
    ("weather, stride 4", "as on weather"),
)

Row = dict[str, str | float | None]


def row(
    name: str,
    value: float,
    bar: float | None,
    unit: str,
    *,
    better: Literal["lower", "higher"] = "lower",
    command: str = "make bench",
) -> Row:
    """One row of bench.json; a row without a bar is for information."""
    print(f"{name}: {value:.4g} {unit} (bar {bar})", flush=True)
    return {
        "name": name, "value": value, "bar": bar, "better": better, "unit": unit,
        "command": command,
    }  # fmt: skip


def speed_rows(project: Path) -> list[Row]:
    """Ratios of times."""
    params = load_params()
    with tempfile.TemporaryDirectory() as folder:
        ratio = training_step_ratio(params, Path(folder))
    seconds, stages = noop_repro(project)
    return [
        row("training_step_over_minimal", ratio, 1.3, "ratio"),
        *(
            row(f"bf16_step_over_fp32_{scale}", bf16_ratio(params, f"tsfm-{scale}"), None, "ratio")
            for scale in ("nano", "micro", "tiny")
        ),
        row(
            "micro_quarter_speedup_batch_64", pruned_speedup(params), 2.7, "ratio", better="higher"
        ),
        row("noop_repro_seconds", seconds, 3.0, "seconds"),
        row("noop_repro_stages_run", stages, 0, "stages"),
    ]


def mask_rows(_: Path) -> list[Row]:
    """Times of many masks measured together over each measured alone."""
    params = load_params()
    return [
        row("removal_loss_12_blocks_over_naive", removal_ratio(params, 12), 0.65, "ratio"),
        row("removal_loss_28_blocks_over_naive", removal_ratio(params, 28), 0.58, "ratio"),
        row("masks_200_of_12_blocks_over_naive", random_masks_ratio(params), 0.65, "ratio"),
    ]


def racing_rows(project: Path) -> list[Row]:
    """What racing saves, where `make real` has trained the models."""
    rows: list[Row] = []
    for dataset in ERROR_BARS:
        saving = racing_saving(project / ".state/presets/real", dataset)
        if saving is None:
            print(f"no model of {dataset} is trained: run `make real` for its racing rows")
            continue
        rows += [
            row(f"racing_window_share_{dataset}", saving.share, 0.35, "ratio"),
            row(f"racing_time_over_all_windows_{dataset}", saving.seconds, None, "ratio"),
        ]
    return rows


def error_rows(project: Path) -> list[Row]:
    """Test errors of the full models at nano."""
    errors = full_errors(project)
    return [
        row(f"nano_full_mse_{name}", errors[name], bar, "MSE at horizon 96")
        for name, bar in ERROR_BARS.items()
    ]


def search_rows(project: Path) -> list[Row]:
    """The default searcher against all masks of 3 and of 4 of 12 blocks."""
    found = default_search(project)
    return [
        row("search_regret_worst", found["regret"], NEAR, "of the optimal validation MSE"),
        row("search_share_of_masks_worst", found["share"], SHARE, "of the masks, to come near"),
    ]


def foundation_rows(project: Path) -> list[Row]:
    """Errors of the foundation setting, where `make real` has run."""
    path = project / "reports/real/summary.json"
    if not path.is_file():
        print("reports/real/summary.json is not there: run `make real` for the foundation rows")
        return []
    found = {(r["dataset"], r["model"]): r for r in list(read_json(path))}  # type: ignore[call-overload]
    rows: list[Row] = []
    for (dataset, what), bar in FOUNDATION_BARS.items():
        entry = found.get((dataset, FOUNDATION_MODEL))
        if entry is not None:
            zero_shot = entry["controls"].get("zero_shot", {}).get("mse")
            value = zero_shot if what == "zero_shot" else entry[f"mse_{what}"]
            name = f"foundation_{what}_mse_{dataset}"
            rows.append(row(name, value, bar, "MSE at horizon 96", command="make real"))
    return rows


def verdict_rows(project: Path) -> list[Row]:
    """Level and power of the verdict, simulated with known truth; the whole table is a file."""
    table = verdicts.simulation_table()
    write_csv(project / "reports/verdicts.csv", table)
    rows = []
    for test, bar in (("bootstrap", 0.05), ("diebold_mariano", None)):
        share = verdicts.false_share(table, test=test)
        ending = "" if test == "bootstrap" else f"_{test}"
        worst = f"the worst of {len(verdicts.SHAPES) * len(verdicts.NOISES)} settings"
        unit = f"share of {verdicts.AT_BOUNDARY:,} simulations, {worst}"
        rows.append(row(f"false_noninferior_share{ending}", share, bar, unit))
        others = (
            verdicts.false_superior(table, test=test),
            verdicts.false_inferior(table, test=test),
        )
        for verdict, found in zip(("superior", "inferior"), others, strict=True):
            rows.append(row(f"false_{verdict}_share{ending}", found, None, unit))
        for shape, noise in POWER_SETTINGS:
            for difference in (-0.02, 0.0, 0.01):
                found = verdicts.power(
                    table, test=test, shape=shape, noise=noise, difference=difference
                )
                name = f"noninferior_power_{test}: {shape}, {noise}, {difference:+.0%}"
                rows.append(row(name, found, None, "share of 500 simulations", better="higher"))
    return rows


def healing_rows(project: Path) -> list[Row]:
    """The healing options against plain healing, where `make healing-table` has run."""
    measured = read_rows(project / healing.RESULTS)
    measured = measured[measured["steps"] == healing.STEPS]
    measured = measured[measured["mask"] == healing.MASKS[0]]
    if measured.empty:
        print(f"{healing.RESULTS} is not there: run `make healing-table` for the healing rows")
        return []
    table, command = compare(measured).set_index("option"), "make healing-table"
    means = {str(option): float(found[0]) for option, found in table["all"].items()}
    unit = "relative validation error"
    rows = [
        row(f"healing_{option}_over_plain", mean, None, unit, command=command)
        for option, mean in means.items()
    ]
    default = healing.default_name(load_params())
    if default not in means:
        print(f"the default, {default}, is not in {healing.RESULTS}: run `make healing-table`")
        return rows
    behind = means[default] - min(means.values())
    return [*rows, row("healing_default_behind_winner", behind, 0.0, unit, command=command)]


def streaming_rows(project: Path) -> list[Row]:
    """Pruning and scoring of a large checkpoint without ever holding it."""
    found, gigabytes = measure_streaming(project), 1e-9
    size = f"GB, of a checkpoint of {found.whole * gigabytes:.1f} GB"
    prune_bar = 1.3 * found.kept * gigabytes + 1
    score_bar = (2 * found.block + found.activations) * gigabytes + 1.5
    return [
        row("streaming_prune_peak_memory", found.prune_peak * gigabytes, prune_bar, size),
        row("streaming_prune_rate_over_copy", found.prune_rate, 0.5, "ratio", better="higher"),
        row(
            "disk_copy_rate",
            found.copy_rate * gigabytes,
            None,
            "GB read and written a second",
            better="higher",
        ),
        row("streaming_score_peak_memory", found.score_peak * gigabytes, score_bar, size),
        row("streaming_score_seconds", found.score_seconds, None, "seconds"),
    ]


def study_rows(project: Path) -> list[Row]:
    """On how many of the six datasets the study's bars hold, where `make study` has run.

    Test errors at horizon 96 with at most 30 % of the blocks, means over the seeds.
    """
    files = [project / STUDIES / name / "tasks.csv" for name in ("full", "foundation", "quick")]
    path = next((file for file in files if file.is_file()), None)
    if path is None:
        print(f"{STUDIES} holds no study: run `make study` for its rows")
        return []
    tasks = pd.read_csv(path)
    chosen = best_within(tasks[tasks["horizon"] == STUDY_HORIZON], STUDY_CAP)
    errors = chosen.groupby(["model", "dataset"])[["full", "pruned", "scratch"]].mean()
    rows: list[Row] = []
    for model, name, rival, factor, bar in (
        (FOUNDATION_MODEL, "within_margin", "full", 1 + MARGIN, 5),
        (FEW_ROWS_MODEL, "few_rows_ahead_of_scratch", "scratch", 1.0, 6),
    ):
        if model in errors.index.get_level_values("model"):
            found = errors.loc[model]
            count = int((found["pruned"] <= factor * found[rival]).sum())
            unit = f"of {len(found)} datasets"
            command = f"make study ({path.parent.name})"
            rows.append(row(f"study_{name}", count, bar, unit, better="higher", command=command))
    return rows


GROUPS: Final[dict[str, Callable[[Path], list[Row]]]] = {
    "speed": speed_rows,
    "masks": mask_rows,
    "verdicts": verdict_rows,
    "errors": error_rows,
    "racing": racing_rows,
    "search": search_rows,
    "foundation": foundation_rows,
    "healing": healing_rows,
    "study": study_rows,
    "streaming": streaming_rows,
}

"""`make bench`: measures every bar and writes reports/bench.json.

Run it with nothing else running; ratios are measured in one run, each side in turn.
"""

import json
import tempfile
from pathlib import Path
from typing import Literal

import torch

from tasks.artifacts import read_json, write_text
from tasks.measure import machine_label
from tasks.params import load_params
from tests.bench.errors import full_errors
from tests.bench.noop import noop_repro
from tests.bench.speed import bf16_ratio, pruned_speedup, training_step_ratio

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
        row("bf16_step_over_fp32", bf16_ratio(params), None, "ratio"),
        row(
            "micro_quarter_speedup_batch_64", pruned_speedup(params), 2.7, "ratio", better="higher"
        ),
        row("noop_repro_seconds", seconds, 3.0, "seconds"),
        row("noop_repro_stages_run", stages, 0, "stages"),
    ]


def error_rows(project: Path) -> list[Row]:
    """Test errors of the full models at nano."""
    errors = full_errors(project)
    return [
        row(f"nano_full_mse_{name}", errors[name], bar, "MSE at horizon 96")
        for name, bar in ERROR_BARS.items()
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


def main() -> None:
    """Measures and writes reports/bench.json."""
    project = Path.cwd()
    rows = [*speed_rows(project), *error_rows(project), *foundation_rows(project)]
    content = {"machine": machine_label(torch.device("cpu")), "rows": rows}
    write_text(project / "reports/bench.json", json.dumps(content, indent=1) + "\n")
    missed = [r["name"] for r in rows if r["bar"] is not None and not holds(r)]
    print(
        f"{len(rows)} rows in reports/bench.json; missed: {', '.join(map(str, missed)) or 'none'}"
    )


def holds(entry: Row) -> bool:
    """Whether a row meets its bar."""
    value, bar = float(entry["value"] or 0), float(entry["bar"] or 0)
    return value <= bar if entry["better"] == "lower" else value >= bar


if __name__ == "__main__":
    main()

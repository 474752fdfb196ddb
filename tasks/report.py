"""Stage `report`: reads what every stage wrote and writes the report and its summary."""

from collections.abc import Sequence
from pathlib import Path

from tasks.artifacts.files import write_text
from tasks.figures.cost import draw_error_vs_cost
from tasks.figures.curves import SizedError, draw_scale, size_row
from tasks.figures.inputs import Pair, read_pair
from tasks.figures.layers import draw_all_scores
from tasks.figures.page import render_page
from tasks.figures.style import write_png
from tasks.figures.summary import summary_json, summary_row
from tasks.figures.verdicts import CorrectedVerdict, correct_verdicts
from tasks.metrics.paired import holm
from tasks.params import Params
from tasks.runtime import load_selected, run_stage, stage_parser


def main(argv: list[str]) -> None:
    """Reads below the working folder and writes `reports/`."""
    description = "Reads the artifacts of every dataset and model; writes reports/."
    stage_parser("tasks.report", description, selects=()).parse_args(argv)
    params = load_selected()
    write_report(Path(), params)


def write_report(root: Path, params: Params) -> None:
    """Writes reports/summary.json, reports/index.html and reports/figures/ below `root`."""
    pairs = [
        read_pair(root, dataset=dataset, model=model)
        for model in params.run.models
        for dataset in params.run.datasets
    ]
    corrected: list[CorrectedVerdict] = []
    for model in params.run.models:
        evaluations = [pair.evaluation for pair in pairs if pair.model == model]
        corrected += correct_verdicts(evaluations, alpha=params.evaluation.alpha, adjust=holm)
    rows = [summary_row(pair, verdict) for pair, verdict in zip(pairs, corrected, strict=True)]
    scale = [size_row(row, params.models[row.model]) for row in rows]
    page = render_page(params=params, pairs=pairs, corrected=corrected, rows=rows, scale=scale)
    reports = root / "reports"
    _write_images(reports / "figures", pairs, scale)
    write_text(reports / "summary.json", summary_json(rows))
    write_text(reports / "index.html", page)


def _write_images(folder: Path, pairs: Sequence[Pair], scale: Sequence[SizedError]) -> None:
    """Writes the key plots as PNG and removes those of an earlier run."""
    figures = {}
    for pair in pairs:
        name = f"{pair.dataset}_{pair.model}"
        figures[f"error_vs_cost_{name}.png"] = draw_error_vs_cost(pair)
        figures[f"scores_{name}.png"] = draw_all_scores(pair)
    if len({point.model for point in scale}) > 1:
        figures["scale.png"] = draw_scale(scale)
    for old in sorted(folder.glob("*.png")):
        if old.name not in figures:
            old.unlink()
    for name, figure in figures.items():
        write_png(folder / name, figure)


if __name__ == "__main__":
    run_stage(main)

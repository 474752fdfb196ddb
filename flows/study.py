"""The study: a preset run for several seeds, horizons and shares, and one table of all results.

Every cell is a workspace of its own that shares the project's cache, so what two cells have in
common (pretraining, training) is made once; a stopped study goes on where it was. What a cell
found lies in a small file of its own, so that cells may be run on several machines and joined by
git. Cells of other seeds and horizons tell whether the choice of blocks is a finding or a draw.
"""

import hashlib
import json
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import product
from pathlib import Path
from typing import Any, Final

import pandas as pd

from flows import dvc
from flows.errors import FlowError
from flows.workspace import renew_workspace
from tasks.artifacts.evaluation import Evaluation
from tasks.artifacts.files import write_csv, write_text
from tasks.artifacts.scoring import Scores
from tasks.artifacts.study import CellResult, Choice
from tasks.figures.study import draw_study
from tasks.figures.style import write_png
from tasks.metrics.study import caps_of, markdown_of, share_table, task_row, task_table
from tasks.metrics.study_stability import agreement_table, answer_table
from tasks.params import Params, load_params, load_preset, merge
from tasks.pipeline.done import settings
from tasks.pipeline.graph import read_graph
from tasks.sections.run import Study

FOLDER: Final = Path("data/studies")
GOALS: Final = ["evaluate"]  # the stages that the tables need, and those before them
PARTIAL: Final = ""  # stands for the settings of a cell that failed
OTHERS: Final = "By other code or parameters than now, or in part: {}. To be run again.\n"
STABILITY: Final = (
    "Are these the layers? The blocks that models of other training seeds and horizons keep, "
    "against random masks, and the answers, one per comparison (each in stability.csv):\n\n"
)

Refresh = Callable[[Path], tuple[bool, str]]


@dataclass(frozen=True)
class Cell:
    """One run of the preset."""

    seed: int
    horizon: int
    share: float

    @property
    def name(self) -> str:
        """The folder of its workspace, for example "h96-s0-k25"."""
        return f"h{self.horizon}-s{self.seed}-k{round(100 * self.share)}"

    @property
    def place(self) -> dict[str, Any]:
        """The columns that say where a row of the study comes from."""
        return {"horizon": self.horizon, "seed": self.seed, "share": self.share}


def cells_of(study: Study) -> Iterator[Cell]:
    """All cells: every combination, or the first values with each other one in its place."""
    every = [Cell(*values) for values in product(study.seeds, study.horizons, study.shares)]
    if study.vary == "together":
        yield from every
        return
    base = every[0]
    yield base
    yield from (replace(base, seed=seed) for seed in study.seeds[1:])
    yield from (replace(base, horizon=horizon) for horizon in study.horizons[1:])
    yield from (replace(base, share=share) for share in study.shares[1:])


def cell_content(project: Path, study: Study, cell: Cell) -> dict[str, Any]:
    """The content of one cell's params.yaml. Raises ParamsError or FlowError."""

    def change(content: dict[str, Any]) -> None:
        content.update(merge(content, study.changes))
        content["seed"] = cell.seed
        content["windows"] = content["windows"] | {"horizon": cell.horizon}
        content["search"] = content.get("search", {}) | {"shares": [cell.share]}
        if study.models is not None:
            _only_models(content["run"], study.models)

    return load_preset(project / "params.yaml", study.preset, change)


def settings_of(project: Path, content: dict[str, Any]) -> str:
    """The sha256 of the commands, parameters and code that a cell's rows come from."""
    graph = read_graph(project / "dvc.yaml", content).towards(GOALS)
    text = json.dumps(settings(project, graph, content), sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


def _only_models(run: dict[str, Any], names: list[str]) -> None:
    """Takes the models that are not named from the graph, and pretraining that nobody needs."""
    absent = sorted(set(names) - set(run["models"]))
    if absent:
        raise FlowError(f"a study's models must be in its preset's run.models; {absent[0]} is not")
    run["models"] = {name: base for name, base in run["models"].items() if name in names}
    needed = set(run["models"].values())
    run["pretrain"] = {m: mix for m, mix in run.get("pretrain", {}).items() if m in needed}


def run_study(
    project: Path, name: str, refresh: Refresh, only: Collection[str] | None = None
) -> pd.DataFrame:
    """Runs what is stale of every cell and writes data/studies/NAME and its figure after each.

    The tables hold the cells that are not run as well, as they stand in data/studies/NAME/cells.

    Args:
        project: the folder with params.yaml.
        name: an entry of `studies`.
        refresh: brings one workspace up to date; returns whether it could, and a message.
        only: names of the cells to run; None: all.

    Returns:
        One row per dataset, model, horizon, seed and share.

    Raises:
        ParamsError: params.yaml is not valid.
        FlowError: there is no such study or cell, nothing is known of any cell, or a cell failed
            (the others were run).
    """
    study, folder = _find(load_params(project / "params.yaml"), name), project / FOLDER / name
    cells = {cell.name: cell for cell in cells_of(study)}
    wanted = list(cells if only is None else only)
    if unknown := [one for one in wanted if one not in cells]:
        raise FlowError(f"the study {name} has no cell {unknown[0]!r}; cells: {', '.join(cells)}")
    contents = {one: cell_content(project, study, cell) for one, cell in cells.items()}
    marks = {one: settings_of(project, content) for one, content in contents.items()}
    failed: list[str] = []
    for one in wanted:
        root = renew_workspace(project, f"study-{name}/{one}", contents[one])
        is_done, message = refresh(root)
        if not is_done:
            failed.append(f"{one}: {message}")
        _keep(folder, one, read_workspace(root, cells[one], marks[one] if is_done else PARTIAL))
        _write_tables(folder, marks)
    if failed:
        raise FlowError(f"{len(failed)} runs of the study {name} failed; first: {failed[0]}")
    rows = _write_tables(folder, marks)
    if rows.empty:
        raise FlowError(f"{folder / 'cells'}: no cell of the study {name} has been run")
    dvc.track_text(project, folder)
    return rows


def _keep(folder: Path, cell: str, found: CellResult) -> None:
    """Writes what a cell found, but nothing, or a part, never over all of an earlier run."""
    path = _path(folder, cell)
    before = CellResult.read(path).settings if path.is_file() else PARTIAL
    if found.rows and (found.settings != PARTIAL or before == PARTIAL):
        found.write(path)


def _write_tables(folder: Path, marks: Mapping[str, str]) -> pd.DataFrame:
    """Writes the tables of all cells that something is known of; `marks`: by cell, its settings."""
    paths = {cell: _path(folder, cell) for cell in marks}
    known = {cell: CellResult.read(path) for cell, path in paths.items() if path.is_file()}
    if not known:
        return pd.DataFrame()
    others = [cell for cell, result in known.items() if result.settings != marks[cell]]
    return write_study(folder, list(known.values()), others)


def _path(folder: Path, cell: str) -> Path:
    return folder / "cells" / f"{cell}.json"


def _find(params: Params, name: str) -> Study:
    if name not in params.studies:
        known = ", ".join(params.studies) or "none"
        raise FlowError(f"params.yaml: there is no study {name!r}; studies: {known}")
    return params.studies[name]


def read_workspace(root: Path, cell: Cell, mark: str) -> CellResult:
    """What a cell has found, as far as its pairs were evaluated; `mark` is its settings'."""
    params = load_params(root / "params.yaml")
    names = [(dataset, model) for dataset in params.run.datasets for model in params.run.models]
    paths = [root / "evaluation" / dataset / model / "evaluation.json" for dataset, model in names]
    evaluations = [Evaluation.read(path) for path in paths if path.is_file()]
    return CellResult(
        settings=mark,
        rows=[task_row(evaluation, cell.place) for evaluation in evaluations],
        choices=read_choices(root, cell, evaluations),
    )


def read_choices(root: Path, cell: Cell, evaluations: Sequence[Evaluation]) -> list[Choice]:
    """The blocks that a cell kept for every pair and its scores, where both are there."""
    found: list[Choice] = []
    for evaluation in evaluations:
        path = root / "scores" / evaluation.dataset / f"{evaluation.model}.json"
        if path.is_file():
            scores = {name: score.values for name, score in Scores.read(path).scores.items()}
            choice = Choice(
                dataset=evaluation.dataset,
                model=evaluation.model,
                **cell.place,
                num_blocks=evaluation.layers_full,
                keep=evaluation.keep,
                scores=scores,
            )
            found.append(choice)
    return found


def write_study(folder: Path, cells: Sequence[CellResult], others: Sequence[str]) -> pd.DataFrame:
    """Writes tasks.csv, table.csv, table.md and, for several cells, stability.csv.

    The figure lies beside the folder, which DVC tracks.

    Args:
        folder: of the study.
        cells: what is known of each, in the study's order.
        others: names of those that were run by other settings than now, or in part.

    Returns:
        The rows of tasks.csv.
    """
    rows = pd.DataFrame([row for cell in cells for row in cell.rows])
    caps, units = caps_of(rows), f"{rows['granularity'].iloc[0]}s"
    shares = share_table(rows, caps)
    agreement = agreement_table([choice for cell in cells for choice in cell.choices])
    write_csv(folder / "tasks.csv", rows)
    write_csv(folder / "table.csv", shares)
    parts = [OTHERS.format(", ".join(others))] if others else []
    parts.append(markdown_of(shares))
    parts += [
        f"At most {cap:.0%} of the {units}, means over the seeds:\n\n"
        + markdown_of(task_table(rows, cap))
        for cap in caps
    ]
    if agreement.empty:
        (folder / "stability.csv").unlink(missing_ok=True)
    else:
        write_csv(folder / "stability.csv", agreement)
        parts.append(STABILITY + markdown_of(answer_table(agreement)))
    write_text(folder / "table.md", "\n".join(parts))
    write_png(folder.with_suffix(".png"), draw_study(rows, caps[0]))
    return rows

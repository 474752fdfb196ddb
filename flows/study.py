"""The study: a preset run for several seeds, horizons and shares, and one table of all results.

Every cell is a workspace of its own that shares the project's cache, so what two cells have in
common (pretraining, training) is made once; a stopped study goes on where it was, whether its cells
are run whole or one dataset at a time. What a cell found lies in a small file for each dataset, so
that cells, or a cell's datasets, may be run on several machines and joined by git.
"""

import hashlib
import json
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace
from itertools import product
from pathlib import Path
from typing import Any, Final

import pandas as pd

from flows import dvc
from flows.errors import FlowError
from flows.imports import note_of
from flows.study_tables import keep, read_piece, write_tables
from flows.workspace import renew_workspace
from tasks.params import Params, load_params, read_yaml
from tasks.pipeline.done import settings as stage_settings
from tasks.pipeline.graph import read_graph
from tasks.presets import load_preset, merge, only_models
from tasks.sections.run import Study

FOLDER: Final = Path("data/studies")
GOALS: Final = ["evaluate"]  # the stages that the tables need, and those before them

Refresh = Callable[[Path], tuple[bool, str]]


@dataclass(frozen=True)
class Cell:
    """One run of the preset, on all of its datasets or on one."""

    seed: int
    horizon: int
    share: float
    dataset: str = ""  # empty: all

    @property
    def name(self) -> str:
        """For example "h96-s0-k25", or "h96-s0-k25-etth1" of one dataset."""
        return f"{self.workspace}-{self.dataset}" if self.dataset else self.workspace

    @property
    def workspace(self) -> str:
        """The name of its workspace, one for all datasets: checkpoints serve whatever is run."""
        return f"h{self.horizon}-s{self.seed}-k{round(100 * self.share)}"

    @property
    def place(self) -> dict[str, Any]:
        """The columns that say where a row of the study comes from."""
        return {"horizon": self.horizon, "seed": self.seed, "share": self.share}

    def pieces(self, datasets: Sequence[str]) -> "list[Cell]":
        """One for each dataset, or the cell itself where it is of one."""
        return [self] if self.dataset else [replace(self, dataset=name) for name in datasets]


def cells_of(study: Study) -> list[Cell]:
    """A cell for every combination of seed, horizon and share."""
    return [Cell(*values) for values in product(study.seeds, study.horizons, study.shares)]


def cell_content(project: Path, study: Study, cell: Cell, *others: Cell) -> dict[str, Any]:
    """The content of one cell's params.yaml. Raises ParamsError or FlowError.

    Args:
        project: the folder with params.yaml.
        study: an entry of `studies`.
        cell: all of it or one dataset.
        others: more datasets of the same cell.
    """
    datasets = {one.dataset for one in (cell, *others)}

    def change(content: dict[str, Any]) -> None:
        content.update(merge(content, study.changes))
        content["seed"] = cell.seed
        content["windows"] = content["windows"] | {"horizon": cell.horizon}
        content["search"] = content.get("search", {}) | {"shares": [cell.share]}
        if "" not in datasets:
            content["run"] = content["run"] | {"datasets": _needed(content, datasets)}
        if study.models is not None:
            content.update(only_models(content, study.models, f"a study of preset {study.preset}"))

    return load_preset(project / "params.yaml", study.preset, change)


def _needed(content: dict[str, Any], datasets: Collection[str]) -> list[str]:
    """The datasets, and those of the run whose training ranges a mix of it holds."""
    mixes = content.get("mixes", {})
    members = {name for mix in content["run"].get("mixes", []) for name in mixes[mix]["members"]}
    return [one for one in content["run"]["datasets"] if one in datasets or one in members]


def settings_of(project: Path, content: dict[str, Any]) -> str:
    """The sha256 of the commands, parameters, code and raw data that a cell's rows come from.

    Raw data are those that were added to the project and are not pinned in its parameters.
    """
    graph, run = read_graph(project / "dvc.yaml", content).towards(GOALS), content["run"]
    names = [*run["datasets"], *run.get("corpora", [])]
    added = [name for name in names if "sha256" not in content["datasets"][name]]
    notes = {name: note_of(project, name) for name in added}
    parts = {
        "stages": stage_settings(project, graph, content),
        "raw": {name: read_yaml(note)["outs"] for name, note in notes.items() if note},
    }
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


def run_study(
    project: Path, name: str, refresh: Refresh, only: Collection[str] | None = None
) -> pd.DataFrame:
    """Runs what is stale of every cell and writes data/studies/NAME and its figure after each.

    The tables hold the cells that are not run as well, as they stand in data/studies/NAME/cells.

    Args:
        project: the folder with params.yaml.
        name: an entry of `studies`.
        refresh: brings one workspace up to date; returns whether it could, and a message.
        only: names of cells, or of a cell and one dataset, to run; None: all. The datasets of a
            cell are run together, so that while one waits for what they share others go on.

    Returns:
        One row per dataset, model, horizon, seed and share.

    Raises:
        ParamsError: params.yaml is not valid.
        FlowError: there is no such study or cell, no cell has been run, or a cell failed (the
            others were run).
    """
    study, folder = _find(load_params(project / "params.yaml"), name), project / FOLDER / name
    cells = {cell.name: cell for cell in cells_of(study)}
    datasets = cell_content(project, study, next(iter(cells.values())))["run"]["datasets"]
    pieces = {one.name: one for cell in cells.values() for one in cell.pieces(datasets)}
    known, wanted = cells | pieces, list(cells if only is None else only)
    if unknown := [one for one in wanted if one not in known]:
        raise FlowError(
            f"the study {name} has no cell {unknown[0]!r}; cells: {', '.join(cells)}, and each of "
            f"them with -DATASET: {', '.join(datasets)}"
        )

    def settings_now(piece: str) -> str:
        return settings_of(project, cell_content(project, study, pieces[piece]))

    failed: list[str] = []
    rows = pd.DataFrame() if wanted else write_tables(folder, pieces, settings_now)
    for workspace in dict.fromkeys(known[one].workspace for one in wanted):
        chosen = cells[workspace].pieces(datasets)
        if workspace not in wanted:
            chosen = [piece for piece in chosen if piece.name in wanted]
        marks = {piece.name: settings_now(piece.name) for piece in chosen}
        content = cell_content(project, study, *chosen)
        root = renew_workspace(project, f"study-{name}/{workspace}", content)
        is_done, message = refresh(root)
        if not is_done:
            failed.append(f"{workspace}: {message}")
        stale = set[str]() if is_done else _stale(root)
        for piece in chosen:
            models, settings = content["run"]["models"], marks[piece.name]
            found = read_piece(
                root, piece.dataset, piece.place, models, settings=settings, stale=stale
            )
            keep(folder, piece.name, found)
        rows = write_tables(folder, pieces, settings_now)
    if not rows.empty:
        dvc.track_text(project, folder)
    if failed:
        raise FlowError(f"{len(failed)} runs of the study {name} failed; first: {failed[0]}")
    if rows.empty:
        raise FlowError(f"{folder / 'cells'}: no cell of the study {name} has been run")
    return rows


def _stale(root: Path) -> set[str]:
    """The names of the stages that are not up to date, and of those that need them."""
    changed, stale = dvc.status(root), set[str]()
    for stage in dvc.stage_graph(root):
        if stage.name in changed or not stale.isdisjoint(stage.parents):
            stale.add(stage.name)
    return stale


def _find(params: Params, name: str) -> Study:
    if name not in params.studies:
        known = ", ".join(params.studies) or "none"
        raise FlowError(f"params.yaml: there is no study {name!r}; studies: {known}")
    return params.studies[name]

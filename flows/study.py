"""The study: a preset run for several seeds, horizons and shares, and one table of all results.

Every cell is a workspace of its own that shares the project's cache, so what two cells have in
common (pretraining, training) is made once; a stopped study goes on where it was. Cells of other
seeds and horizons also tell whether the choice of blocks is a finding or a draw.
"""

from collections.abc import Callable, Iterator, Sequence
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
from tasks.figures.study import draw_study
from tasks.figures.style import write_png
from tasks.metrics.study import caps_of, markdown_of, share_table, task_row, task_table
from tasks.metrics.study_stability import Choice, agreement_table, answer_table
from tasks.params import Params, load_params, load_preset, merge
from tasks.sections.run import Study

FOLDER: Final = Path("data/studies")
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


def cell_workspace(project: Path, name: str, study: Study, cell: Cell) -> Path:
    """Makes or renews the workspace of one cell. Raises ParamsError or FlowError."""

    def change(content: dict[str, Any]) -> None:
        content.update(merge(content, study.changes))
        content["seed"] = cell.seed
        content["windows"]["horizon"] = cell.horizon
        content.setdefault("search", {})["shares"] = [cell.share]
        if study.models is not None:
            _only_models(content["run"], study.models)

    content = load_preset(project / "params.yaml", study.preset, change)
    return renew_workspace(project, f"study-{name}/{cell.name}", content)


def _only_models(run: dict[str, Any], names: list[str]) -> None:
    """Takes the models that are not named from the graph, and pretraining that nobody needs."""
    absent = sorted(set(names) - set(run["models"]))
    if absent:
        raise FlowError(f"a study's models must be in its preset's run.models; {absent[0]} is not")
    run["models"] = {name: base for name, base in run["models"].items() if name in names}
    needed = set(run["models"].values())
    run["pretrain"] = {m: mix for m, mix in run.get("pretrain", {}).items() if m in needed}


def run_study(project: Path, name: str, refresh: Refresh) -> pd.DataFrame:
    """Runs what is stale of every cell and writes data/studies/NAME and its figure after each.

    Args:
        project: the folder with params.yaml.
        name: an entry of `studies`.
        refresh: brings one workspace up to date; returns whether it could, and a message.

    Returns:
        One row per dataset, model, horizon, seed and share.

    Raises:
        ParamsError: params.yaml is not valid.
        FlowError: there is no such study, or a cell failed (the others were run).
    """
    study = _find(load_params(project / "params.yaml"), name)
    failed: list[str] = []
    rows: list[dict[str, object]] = []
    choices: list[Choice] = []
    for cell in cells_of(study):
        root = cell_workspace(project, name, study, cell)
        is_done, message = refresh(root)
        if not is_done:
            failed.append(f"{cell.name}: {message}")
        evaluations = read_cell(root)
        rows += [task_row(evaluation, cell.place) for evaluation in evaluations]
        choices += read_choices(root, cell, evaluations)
        if rows:
            write_study(project / FOLDER / name, pd.DataFrame(rows), choices)
    if failed:
        raise FlowError(f"{len(failed)} runs of the study {name} failed; first: {failed[0]}")
    dvc.track_text(project, project / FOLDER / name)
    return pd.DataFrame(rows)


def _find(params: Params, name: str) -> Study:
    if name not in params.studies:
        known = ", ".join(params.studies) or "none"
        raise FlowError(f"params.yaml: there is no study {name!r}; studies: {known}")
    return params.studies[name]


def read_cell(root: Path) -> list[Evaluation]:
    """The evaluations of a cell, as far as its pairs were evaluated."""
    params = load_params(root / "params.yaml")
    names = [(dataset, model) for dataset in params.run.datasets for model in params.run.models]
    paths = [root / "evaluation" / dataset / model / "evaluation.json" for dataset, model in names]
    return [Evaluation.read(path) for path in paths if path.is_file()]


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


def write_study(folder: Path, rows: pd.DataFrame, choices: Sequence[Choice]) -> None:
    """Writes tasks.csv, table.csv, table.md and, for several cells, stability.csv.

    The figure lies beside the folder, which DVC tracks.
    """
    caps, units = caps_of(rows), f"{rows['granularity'].iloc[0]}s"
    shares, agreement = share_table(rows, caps), agreement_table(choices)
    write_csv(folder / "tasks.csv", rows)
    write_csv(folder / "table.csv", shares)
    parts = [markdown_of(shares)]
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

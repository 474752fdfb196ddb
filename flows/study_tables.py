"""What the cells of a study found: a file for each and its datasets, and the tables of them all."""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import pandas as pd

from tasks.artifacts.evaluation import Evaluation
from tasks.artifacts.files import write_csv, write_text
from tasks.artifacts.scoring import Scores
from tasks.artifacts.study import Choice, PieceResult
from tasks.figures.study import draw_study
from tasks.figures.style import write_png
from tasks.metrics.study import (
    caps_of,
    common_tasks,
    leads_by_rival,
    markdown_of,
    outcome_table,
    rival_table,
    task_row,
    task_table,
)
from tasks.metrics.study_stability import agreement_table, answer_table

OTHERS: Final = (
    "Run by other code, parameters or raw data than those at hand, so that a run now may differ "
    "(`--only NAME` makes one anew): {}.\n"
)
MISSING: Final = "Not there, as a stage before it failed: {}.\n"
OUTCOMES: Final = (
    "Tasks in which the pruned model is as good as the full one, by its test error as it is "
    "(margin 2 %, and 0), and by verdict:\n\n"
)
LEADS: Final = (
    "Tasks in which it is ahead of a rival that is another model (random: the mean of the random "
    "masks; scratch: the same depth; linear: outside the model):\n\n"
)
COMMON: Final = "Only the tasks that were run with every share of the blocks:\n\n"
STABILITY: Final = (
    "Are these the layers? The blocks that models of other training seeds and horizons keep, "
    "against random masks, over all datasets together (p: with the numbers of the blocks shuffled "
    "anew in every cell), and the answers, one per comparison (each in stability.csv):\n\n"
)


def read_piece(
    root: Path,
    dataset: str,
    place: dict[str, Any],
    models: Iterable[str],
    *,
    settings: str,
    stale: Collection[str] = (),
) -> PieceResult:
    """What a workspace has found on one dataset, as far as its models were evaluated.

    Args:
        root: the workspace.
        dataset: its name.
        place: horizon, seed and share, for the columns of the rows.
        models: their names.
        settings: by which it was run.
        stale: names of stages whose outputs are of an earlier run, or none.
    """
    found = PieceResult(settings={}, rows=[], choices=[])
    for model in models:
        judged = root / "evaluation" / dataset / model / "evaluation.json"
        scored = root / "scores" / dataset / f"{model}.json"
        is_stale = f"evaluate@{dataset}-{model}" in stale
        if is_stale or not (judged.is_file() and scored.is_file()):
            found.missing.append(model)
            continue
        evaluation, scores = Evaluation.read(judged), Scores.read(scored).scores
        found.settings[model] = settings
        found.rows.append(task_row(evaluation, place))
        found.choices.append(
            Choice(
                dataset=dataset,
                model=model,
                **place,
                num_blocks=evaluation.layers_full,
                keep=evaluation.keep,
                scores={name: score.values for name, score in scores.items()},
            )
        )
    return found


def keep(folder: Path, name: str, found: PieceResult) -> None:
    """Writes what was found; models that are missing in it stand as an earlier run found them.

    Args:
        folder: of the study.
        name: of the cell and its dataset.
        found: there.
    """
    path = _path(folder, name)
    if found.missing and path.is_file():
        found = _completed(found, PieceResult.read(path))
    if found.rows:
        found.write(path)


def _completed(found: PieceResult, earlier: PieceResult) -> PieceResult:
    """What was found, and of the models that are missing in it what was found earlier."""
    old = [name for name in found.missing if name in earlier.settings]
    return PieceResult(
        settings=found.settings | {name: earlier.settings[name] for name in old},
        missing=[name for name in found.missing if name not in old],
        rows=[*found.rows, *(row for row in earlier.rows if row["model"] in old)],
        choices=[*found.choices, *(one for one in earlier.choices if one.model in old)],
    )


def _path(folder: Path, name: str) -> Path:
    return folder / "cells" / f"{name}.json"


def write_tables(
    folder: Path, names: Iterable[str], settings_now: Callable[[str], str]
) -> pd.DataFrame:
    """Writes the tables and the figure of all that is known of a study.

    Args:
        folder: of the study.
        names: of its cells and their datasets, in order.
        settings_now: what the settings of one are now: those of others are named.

    Returns:
        The rows of tasks.csv; none where nothing is known.
    """
    paths = {name: _path(folder, name) for name in names}
    known = {name: PieceResult.read(path) for name, path in paths.items() if path.is_file()}
    if not known:
        return pd.DataFrame()
    others = [name for piece in known.items() for name in _others(*piece, settings_now(piece[0]))]
    return write_study(folder, known, _by_cell(others, known))


def _others(name: str, result: PieceResult, now: str) -> list[str]:
    """The piece's name where all of it was run by other settings, else those of its models."""
    models = [model for model, settings in result.settings.items() if settings != now]
    return [name] if len(models) == len(result.rows) else [f"{one} of {name}" for one in models]


def _by_cell(names: Sequence[str], known: Mapping[str, PieceResult]) -> list[str]:
    """The names, with that of a cell in place of those of all its datasets."""
    cell = {name: name.removesuffix(f"-{one.rows[0]['dataset']}") for name, one in known.items()}
    partly = {cell[name] for name in known if name not in names}
    whole = {name: one for name, one in cell.items() if one not in partly}
    return list(dict.fromkeys(whole.get(name, name) for name in names))


def write_study(
    folder: Path, known: Mapping[str, PieceResult], others: Collection[str]
) -> pd.DataFrame:
    """Writes tasks.csv, outcomes.csv, rivals.csv, table.md and, for several cells, stability.csv.

    The figure lies beside the folder, which DVC tracks.

    Args:
        folder: of the study.
        known: what every cell has found on each dataset, by name, in the study's order.
        others: those that were run by other settings than now, as they are to be named.

    Returns:
        The rows of tasks.csv.
    """
    rows = pd.DataFrame([row for piece in known.values() for row in piece.rows])
    caps, units = caps_of(rows), f"{rows['granularity'].iloc[0]}s"
    outcomes, rivals = outcome_table(rows, caps), rival_table(rows, caps)
    choices = [choice for piece in known.values() for choice in piece.choices]
    agreement = agreement_table(choices)
    write_csv(folder / "tasks.csv", rows)
    write_csv(folder / "outcomes.csv", outcomes)
    write_csv(folder / "rivals.csv", rivals)
    parts = []
    if absent := [f"{model} of {name}" for name, piece in known.items() for model in piece.missing]:
        parts.append(MISSING.format(", ".join(absent)))
    parts += [OUTCOMES + markdown_of(outcomes), LEADS + markdown_of(leads_by_rival(rivals))]
    common = common_tasks(rows, caps)
    if len(caps) > 1 and 0 < len(common) < len(rows):
        parts.append(COMMON + markdown_of(outcome_table(common, caps)))
    parts += [
        f"At most {cap:.0%} of the {units}, means over the seeds:\n\n"
        + markdown_of(task_table(rows, cap))
        for cap in caps
    ]
    if agreement.empty:
        (folder / "stability.csv").unlink(missing_ok=True)
    else:
        write_csv(folder / "stability.csv", agreement)
        parts.append(STABILITY + markdown_of(answer_table(choices, agreement)))
    parts += [OTHERS.format(", ".join(others))] if others else []
    write_text(folder / "table.md", "\n".join(parts))
    write_png(folder.with_suffix(".png"), draw_study(rows, caps[0]))
    return rows

"""The short tables that commands print."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from rich.console import Console
from rich.table import Table

from tasks.artifacts.data import Profile
from tasks.masks.mask import format_mask

if TYPE_CHECKING:
    from tasks.score_folder import FolderScores

COLUMNS: Final = (
    "dataset", "model", "layers kept", "error full", "error pruned", "verdict", "speed-up",
)  # fmt: skip
WIDTH_ELSEWHERE: Final = 110


def summary_rows(path: Path) -> list[dict[str, Any]]:
    """The rows of reports/summary.json; empty when there is no such file."""
    if not path.is_file():
        return []
    content = json.loads(path.read_text(encoding="utf-8"))
    rows = content.get("rows", []) if isinstance(content, dict) else content
    return [row for row in rows if isinstance(row, dict)]


def result_table(rows: list[dict[str, Any]]) -> Table:
    """One line per pruned model, from the rows of summary.json."""
    table = Table(*COLUMNS, title="Pruned models on the test range (error: MSE, scaled values)")
    for row in rows:
        table.add_row(
            str(row["dataset"]),
            str(row["model"]),
            _kept(row),
            _number(row["mse_full"], "{:.4f}"),
            _number(row["mse_pruned"], "{:.4f}"),
            str(row["verdict"]),
            _number(row["speedup_p50"], "{:.2f}x"),
        )
    return table


def _kept(row: dict[str, Any]) -> str:
    what = " sublayers" if row.get("granularity") == "sublayer" else ""
    return f"{row['layers_kept']} of {row['layers_full']}{what}"


def _number(value: object, form: str) -> str:
    return form.format(value) if isinstance(value, int | float) else "-"


def plain_console() -> Console:
    """The terminal, or outside one a fixed width without colours."""
    console = Console()
    if console.is_terminal:
        return console
    return Console(width=WIDTH_ELSEWHERE, no_color=True, highlight=False)


def print_results(reports: Path) -> None:
    """Prints the table of results and where the report lies."""
    console = plain_console()
    rows = summary_rows(reports / "summary.json")
    if rows:
        console.print(result_table(rows))
    page = reports / "index.html"
    if page.is_file():
        console.print(f"report: {page}", markup=False, soft_wrap=True)


def print_scores(found: "FolderScores", share: float, folder: Path) -> None:
    """Prints the scores of every block, and what each score keeps at this share of the blocks."""
    console = plain_console()
    keeps = found.keeps(share)
    held = "one block in memory at a time" if found.is_streamed else "the whole model in memory"
    told = f"{folder}: {found.num_blocks} blocks, {found.windows} windows, {held}; higher = keep"
    console.print(told, markup=False, soft_wrap=True)
    table = Table("block", "stack", *found.scores)
    for row in found.frame().itertuples(index=False):
        block, stack, *values = row
        kept = [block in keep for keep in keeps.values()]
        cells = [
            f"{value:.4f}{' *' if is_kept else '  '}"
            for value, is_kept in zip(values, kept, strict=True)
        ]
        table.add_row(str(block), str(stack), *cells)
    console.print(table)
    size = len(next(iter(keeps.values())))
    each = " of every stack" if len(found.stacks) > 1 else ""
    console.print(f"* kept, {size} of {found.num_blocks} blocks (--share {share:g}{each})")
    for name, keep in keeps.items():
        command = f'fewlayers prune {folder} OUT --keep "{format_mask(keep)}"'
        console.print(f"{name + ':':17}{command}", markup=False, soft_wrap=True)


def print_profile(profile: Profile) -> None:
    """Prints what the audit of a data file found."""
    console = plain_console()
    table = Table("what", "found", title=f"{profile.dataset}: accepted", show_header=False)
    for what, found in (
        ("files", ", ".join(profile.files)),
        ("kind", profile.kind),
        ("series", profile.num_series),
        ("rows", profile.rows),
        ("values", profile.num_points),
        ("frequency", profile.freq or "-"),
        ("first", profile.first or "-"),
        ("last", profile.last or "-"),
        ("missing", f"{profile.missing_share:.2%}"),
        ("gaps", profile.gaps),
        ("split", f"{profile.train_rows} / {profile.valid_rows} / {profile.test_rows} rows"),
    ):
        table.add_row(what, str(found))
    console.print(table)
    for kind, notes in (("fixed", profile.fixed), ("warning", profile.warnings)):
        for note in notes:
            console.print(f"{kind}: {note}", markup=False, soft_wrap=True)
    if profile.dropped_series:
        console.print(f"dropped: {', '.join(profile.dropped_series)}", markup=False)


def print_study(folder: Path) -> None:
    """Prints the study's tables and where they lie."""
    print((folder / "table.md").read_text(encoding="utf-8"))
    print(f"study: {folder}, {folder.with_suffix('.png')}")

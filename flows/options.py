"""The command-line options that say how a data file is read."""

from pathlib import Path
from typing import Annotated, Final

import typer

File = Annotated[Path, typer.Argument(help="A CSV (also .gz) or parquet file, wide or long.")]
Kind = Annotated[
    str | None,
    typer.Option(help="wide: a time column and one column per channel; long: unique_id, ds, y; "
                 "collection: a folder of parquet files with many series."),
]  # fmt: skip
Freq = Annotated[str | None, typer.Option(help="Time between rows: 10min, h, D, W, MS ...")]
TimeColumn = Annotated[str | None, typer.Option(help="The column that holds the time.")]
TimeFormat = Annotated[str | None, typer.Option(help="How times are written, e.g. %d/%m/%Y.")]
TimeUnit = Annotated[str | None, typer.Option(help="Of epoch numbers: s, ms, us or ns.")]
TimeZone = Annotated[str | None, typer.Option(help="Of local times, e.g. Europe/Berlin.")]
Decimal = Annotated[str | None, typer.Option(help="The decimal mark: . or ,")]
Thousands = Annotated[str | None, typer.Option(help="The thousands mark: , . ' or a space.")]
Targets = Annotated[
    list[str] | None, typer.Option("--target", help="A column to forecast; can be repeated.")
]
Season = Annotated[int | None, typer.Option(help="Rows per season, for seasonal naive and MASE.")]
Irregular = Annotated[
    str | None, typer.Option(help="regular_grid: gaps become missing rows; as_rows: keep rows.")
]
OPTIONS: Final = (
    "kind", "freq", "time_column", "time_format", "time_unit", "time_zone", "decimal",
    "thousands", "targets", "season", "irregular",
)  # fmt: skip

"""The command-line options that say how a data file is read."""

import inspect
import re
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Annotated, Any, Final

import typer

from tasks.errors import DataError

File = Annotated[Path, typer.Argument(help="A CSV (also .gz) or parquet file, wide or long.")]
READING: Final[dict[str, Any]] = {
    "kind": Annotated[
        str | None,
        typer.Option(help="wide: a time column and one column per channel; long: unique_id, ds, y; "
                     "collection: a folder of parquet files with many series."),
    ],
    "freq": Annotated[str | None, typer.Option(help="Time between rows: 10min, h, D, W, MS ...")],
    "time_column": Annotated[str | None, typer.Option(help="The column that holds the time.")],
    "time_format": Annotated[
        str | None, typer.Option(help="How times are written, e.g. %d/%m/%Y.")
    ],
    "time_unit": Annotated[str | None, typer.Option(help="Of epoch numbers: s, ms, us or ns.")],
    "time_zone": Annotated[str | None, typer.Option(help="Of local times, e.g. Europe/Berlin.")],
    "decimal": Annotated[str | None, typer.Option(help="The decimal mark: . or ,")],
    "thousands": Annotated[
        str | None, typer.Option(help="The thousands mark: , . ' or a space.")
    ],
    "targets": Annotated[
        list[str] | None, typer.Option("--target", help="A column to forecast; can be repeated.")
    ],
    "season": Annotated[
        int | None, typer.Option(help="Rows per season, for seasonal naive and MASE.")
    ],
    "irregular": Annotated[
        str | None, typer.Option(help="regular_grid: gaps become missing rows; as_rows: keep rows.")
    ],
}  # fmt: skip


FIELD: Final = re.compile(rf"`({'|'.join(READING)})(?:: ([^`]+))?`")


def as_options(message: str) -> str:
    """An error's message with `kind: long` and other fields of a dataset as `--kind long`."""

    def option(found: re.Match[str]) -> str:
        name = "target" if found[1] == "targets" else found[1].replace("_", "-")
        return f"`--{name} {found[2]}`" if found[2] else f"`--{name}`"

    return FIELD.sub(option, message)


def with_reading(command: Callable[..., None]) -> Callable[..., None]:
    """Gives a command the options of READING; it gets their values by name as `reading`.

    What it cannot read it refuses in the words of its options, where the file is named to it.
    """
    own = [one for one in inspect.signature(command).parameters.values() if one.name != "reading"]
    added = [
        inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=option)
        for name, option in READING.items()
    ]

    @wraps(command)
    def whole(**given: Any) -> None:
        reading = {name: given.pop(name) for name in READING}
        file = given.get("file")
        if file is not None and not file.exists():
            raise DataError(f"{file}: no such file or folder; check the path")
        try:
            command(**given, reading=reading)
        except DataError as error:
            if given.get("source", file) is None:  # an entry of params.yaml says how to read it
                raise
            raise DataError(as_options(str(error))) from error

    whole.__signature__ = inspect.Signature([*own, *added])  # type: ignore[attr-defined]
    whole.__annotations__ = {one.name: one.annotation for one in (*own, *added)}
    return whole

"""The console script `fewlayers`: the front of flows/."""

import inspect
import signal
import sys
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from typing import Annotated, Any, NoReturn

import typer
from rich.console import Console

from flows import checkpoints, model_commands
from flows.environment import prefect_environment, use
from flows.options import File, with_reading
from tasks.errors import FewlayersError

app = typer.Typer(
    name="fewlayers",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


@app.callback()
def about() -> None:
    """Find the few layers that matter in a time-series model, and keep only those.

    Run the commands in the project's folder, where params.yaml and dvc.yaml lie.
    """


@app.command()
def run(
    preset: Annotated[
        str | None,
        typer.Option(help="A name under `presets` in params.yaml, run in .state/presets/NAME."),
    ] = None,
) -> None:
    """Bring everything up to date: the flow `refresh`, then a table and the report's path.

    Only stale stages run; a stopped run goes on where it was. It uses the Prefect server that
    PREFECT_API_URL names, or that of `fewlayers ui` where one runs, else one of its own on
    127.0.0.1. With a default DVC remote it pulls what is missing and pushes what it made.

    Examples:
      fewlayers run

      fewlayers run --preset real-small
    """
    from flows.summary import print_results

    project = Path.cwd()
    root, reports = _workspace(project, preset)
    with _server(project):
        is_done, message = _refresh(root)
    if not is_done:
        raise FewlayersError(message)
    typer.echo(message)
    if preset is not None:
        from flows.workspace import bring_reports

        reports = bring_reports(project, root, preset)
    print_results(reports)


def _workspace(project: Path, preset: str | None) -> tuple[Path, Path]:
    if preset is None:
        return project, project / "reports"
    from flows.workspace import make_workspace

    return make_workspace(project, preset), project / "reports" / preset


@contextmanager
def _server(project: Path) -> Iterator[None]:
    """Inside the context Prefect's server is there and this process talks to it."""
    use(prefect_environment(project))
    use({"PREFECT_LOGGING_HANDLERS_CONSOLE_LEVEL": "CRITICAL"})
    from flows.server import any_server

    with any_server(project) as api:
        use({"PREFECT_API_URL": api})
        yield


def _refresh(root: Path, goals: list[str] | None = None) -> tuple[bool, str]:
    """Runs the flow, or what the goals need; returns whether it completed, and its message."""
    from flows import console
    from flows.refresh import refresh
    from flows.server import flush

    terminal = Console()
    shown: AbstractContextManager[Any] = nullcontext(console.Plain())
    if terminal.is_terminal:
        shown = console.Bars(terminal)
    with shown as listener:
        console.listen(listener)
        state = refresh(str(root), goals, return_state=True)
    flush()
    return state.is_completed(), state.message or "the run ended without a message"


@app.command()
def study(
    name: Annotated[str, typer.Argument(help="A name under `studies` in params.yaml.")] = "quick",
    only: Annotated[
        list[str] | None,
        typer.Option(
            "--only",
            metavar="CELL",
            help="A cell to run, as h96-s1-k25 (horizon, seed, percent kept), or one dataset of "
            "it, as h96-s1-k25-etth1; can be repeated, and datasets of one cell run together. "
            "The tables keep the others.",
        ),
    ] = None,
    tables: Annotated[
        bool, typer.Option("--tables", help="Run nothing; write the tables from cells/ anew.")
    ] = False,
) -> None:
    """Run a preset for many seeds, horizons and sizes; tabulate how often pruning holds.

    Writes data/studies/NAME: what each cell found, table.md with the tables that it shows
    (tasks.csv, outcomes.csv, rivals.csv and, where there are several seeds or horizons,
    stability.csv), and data/studies/NAME.png. A stopped study goes on where it was. Cells may be
    run on several machines: the files in cells/ of one are put beside those of the other. Only
    what the tables need runs: no latency, models, report.

    Examples:
      fewlayers study

      fewlayers study full

      fewlayers study full --only h96-s1-k25 --only h96-s2-k25
    """
    if tables and only:
        raise FewlayersError("--tables runs nothing, so --only has no meaning beside it; leave one")
    from flows.study import FOLDER, GOALS, run_study
    from flows.summary import print_study

    project = Path.cwd()

    def refresh(root: Path) -> tuple[bool, str]:
        typer.echo(f"study {name}: {root.name}")
        return _refresh(root, GOALS)

    with nullcontext() if tables else _server(project):
        run_study(project, name, refresh, [] if tables else only or None)
    print_study(project / FOLDER / name)


@app.command("add-data")
@with_reading
def add_data(
    name: Annotated[str, typer.Argument(help="The dataset's name in params.yaml.")],
    source: Annotated[
        str | None,
        typer.Argument(metavar="[FILE_OR_URL]", help="Not needed for a named benchmark entry."),
    ] = None,
    *,
    reading: dict[str, Any],
) -> None:
    """Bring a dataset in: validate it, put it under DVC, enter it in params.yaml.

    Either all of that happens or nothing. The next `fewlayers run` covers the new dataset.

    Examples:
      fewlayers add-data sales sales.csv --time-column day --freq D

      fewlayers add-data load load.csv --time-format "%d.%m.%Y %H:%M" --decimal ,

      fewlayers add-data etth1
    """
    from flows.add_data import add_data as add
    from flows.processes import interrupt
    from flows.summary import print_profile

    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, interrupt)  # so that what was begun is undone
    profile, note = add(Path.cwd(), name, source, reading)
    print_profile(profile)
    typer.echo(f"added: data/raw/{name}, {note} and the entry in params.yaml")


@app.command()
@with_reading
def check(
    file: File,
    *,
    reading: dict[str, Any],
) -> None:
    """Audit a data file with the rules of the pipeline; change nothing.

    Examples:
      fewlayers check sales.csv --time-column day --freq D

      fewlayers check readings.parquet --kind long
    """
    from flows.add_data import dataset_entry
    from flows.summary import print_profile
    from tasks.data.prepared import audit
    from tasks.params import load_params

    entry = dataset_entry(reading)
    windows = load_params(Path("params.yaml")).windows
    print_profile(audit(file, file.name.partition(".")[0], entry, windows))


app.command("add-model")(model_commands.add_model)
app.command()(model_commands.forecast)
app.command()(model_commands.export)
app.command()(checkpoints.score)
app.command()(checkpoints.prune)


@app.command()
def ui(
    port: Annotated[int, typer.Option(min=1, max=65535, help="Port of 127.0.0.1.")] = 4200,
) -> None:
    """Start the Prefect server, a worker and the scheduled deployment; Ctrl-C stops them.

    Runs of `fewlayers run` appear there too. The schedule is in prefect.yaml.

    Examples:
      fewlayers ui

      fewlayers ui --port 4201
    """
    from flows.ui import serve

    serve(Path.cwd(), port)


@app.command()
def doctor() -> None:
    """Check this machine: versions and pins, params.yaml, the graph, the cache, the server.

    Example:
      fewlayers doctor
    """
    root = Path.cwd()
    use(prefect_environment(root))
    from flows.doctor import examine

    is_well = True
    for what, is_good, found in examine(root):
        is_well &= is_good
        typer.echo(f"{'ok ' if is_good else 'BAD'}  {what}: {found}")
    if not is_well:
        raise FewlayersError("doctor: not all is well; see the lines marked BAD")


def keep_examples(text: str) -> str:
    r"""A docstring as help text whose examples keep their lines: click fills others anew.

    A paragraph that begins with \b is left as it is.
    """
    before, found, examples = text.partition("\n\nExample")
    return before + found.replace("\n\n", "\n\n\b\n") + examples.replace("\n\n", "\n\n\b\n")


for _command in app.registered_commands:
    _command.help = keep_examples(inspect.getdoc(_command.callback) or "")


def main() -> NoReturn:
    """Runs the command line: 0 done, 1 our error in one line, 2 usage, 130 stopped by Ctrl-C."""
    signal.signal(signal.SIGHUP, signal.SIG_DFL)
    try:
        app()
    except FewlayersError as error:
        typer.echo(f"error: {' '.join(str(error).split())}", err=True)
        sys.exit(1)
    except KeyboardInterrupt:
        typer.echo("stopped; run again to go on", err=True)
        sys.exit(130)
    sys.exit(0)


if __name__ == "__main__":
    main()

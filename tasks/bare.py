"""Runs a preset's whole graph in pieces, without Prefect, DVC or a network: `make study-gpu`.

dvc.yaml is read and its stages are run in `.state/bare/PRESET/`, up to `runtime.parallel_stages` at
once. A piece ends after its budget, with exit status 75: the same command goes on from there. The
tables and the figure of error against scale lie in data/studies/PRESET/, each with the models that
are so far: those whose masks are healed, those evaluated, those measured.
"""

import argparse
import json
import logging
import shutil
from pathlib import Path
from typing import Any

from tasks.artifacts.files import write_csv, write_text
from tasks.artifacts.folders import sync_folder
from tasks.data.fetch import datasets_to_fetch, fetch, has_raw, raw_folder
from tasks.figures.scale import draw_scale_study
from tasks.figures.style import write_png
from tasks.metrics.scale import FINISHED, HEALED, ScaleStudy, models_with, read_study
from tasks.metrics.scale_tables import markdown_of_study
from tasks.params import Params, load_params, validate_params, yaml_text
from tasks.pipeline.done import done_stages, fingerprints, stage_seconds
from tasks.pipeline.graph import Graph, read_graph
from tasks.pipeline.runner import Outcome, Piece, StageFailedError, one_at_a_time, run_graph
from tasks.presets import from_elsewhere, load_preset, only_models
from tasks.runtime import run_stage

ON_CUDA, ELSEWHERE = "gpu", "gpu-pico"  # presets
UNFINISHED = 75  # exit status: sysexits.h's EX_TEMPFAIL, "try again"
NO_BASE_NOTE = "data/pretrained/none/README.md"  # what a model without a pretrained start reads

log = logging.getLogger(__name__)


def make_workspace(project: Path, root: Path, content: dict[str, Any]) -> None:
    """Makes or renews the folder in which a preset is run.

    Args:
        project: holds tasks/.
        root: the folder, which this process holds.
        content: of its params.yaml.
    """
    write_text(root / "params.yaml", yaml_text(content))
    code = root / "tasks"
    if not code.is_symlink():
        code.symlink_to((project / "tasks").resolve(), target_is_directory=True)
    note = root / NO_BASE_NOTE
    note.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(project / NO_BASE_NOTE, note)


def bring_raw(project: Path, root: Path, params: Params, graph: Graph) -> None:
    """Puts raw files into the workspace: from the project's data/raw, the mirror, or their URLs.

    Raises:
        DataError: there is no source, a download failed, or the sha256 is another one.
    """
    for name in (*params.run.datasets, *params.run.corpora):
        members = list(params.datasets[name].members) or [name]
        if not all(has_raw(project, member) for member in members):
            continue
        for member in members:  # every time: the project's files may have changed
            below = raw_folder(root, name) / (member if params.datasets[name].members else "")
            sync_folder(raw_folder(project, member), below)
    made = [out for stage in graph.stages for out in stage.outs]
    for name in datasets_to_fetch(root, params, made):
        log.info("%s: raw files from the mirror or by URL", name)
        fetch(root, name, params.datasets)


def write_results(folder: Path, study: ScaleStudy, seconds: dict[str, float]) -> None:
    """Writes the study's tables as CSV and Markdown, its figure, and the stages' seconds.

    The figure shows test errors, so that there is none before a model is evaluated.
    """
    for name, frame in study.tables().items():
        if frame.empty:
            (folder / f"{name}.csv").unlink(missing_ok=True)  # of an earlier run
        else:
            write_csv(folder / f"{name}.csv", frame)
    write_text(folder / "table.md", markdown_of_study(study))
    if study.errors.empty:
        (folder / "figure.png").unlink(missing_ok=True)
    else:
        write_png(folder / "figure.png", draw_scale_study(study))
    write_text(folder / "seconds.json", json.dumps(seconds, indent=1) + "\n")


def write_tables(project: Path, root: Path, preset: str, content: dict[str, Any]) -> list[str]:
    """Writes the results of all models that are healed by now; returns their names.

    Those that were made by other code or values than now are not among them.
    """
    params, graph = validate_params(content, preset), read_graph(project / "dvc.yaml", content)
    done = done_stages(root, graph, fingerprints(root, graph, content))
    healed = models_with(HEALED, params, done)
    if healed:
        study = read_study(root, params, done)
        write_results(project / "data/studies" / preset, study, stage_seconds(root, graph))
    return healed


def _arguments(argv: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m tasks.bare",
        description="Runs a preset's graph in pieces, without Prefect, DVC or a network.",
    )
    parser.add_argument(
        "--preset", help=f"by default {ON_CUDA} where torch sees a CUDA device, else {ELSEWHERE}"
    )
    parser.add_argument(
        "--models", nargs="+", default=[], metavar="NAME", help="only these of the preset's models"
    )
    parser.add_argument(
        "--goals",
        nargs="+",
        metavar="STAGE",
        help="only these stages of dvc.yaml and what they need; `--goals evaluate measure` makes "
        "all tables, without stability, package and report (default: everything)",
    )
    parser.add_argument(
        "--budget-seconds", type=float, default=540.0, help="of one piece (default: %(default)g)"
    )
    parser.add_argument(
        "--grace-seconds",
        type=float,
        default=90.0,
        help="its last part, in which the stages at work save their state (default: %(default)g)",
    )
    given = parser.parse_args(argv)
    if not 0 <= given.grace_seconds < given.budget_seconds:
        parser.error("--grace-seconds must be less than --budget-seconds")
    return given


def _preset() -> str:
    import torch

    if torch.cuda.is_available():
        return ON_CUDA
    log.info(
        "no CUDA device: the preset %s shows that the command works; its errors mean nothing",
        ELSEWHERE,
    )
    return ELSEWHERE


def main(argv: list[str]) -> None:
    """Runs one piece. Exit status 75: more pieces are needed."""
    args, project = _arguments(argv), Path.cwd()
    preset = args.preset or _preset()
    load_params(project / "params.yaml")
    root = project / ".state" / "bare" / preset
    whole = content = from_elsewhere(load_preset(project / "params.yaml", preset), project)
    if args.models:
        content = only_models(whole, args.models, f"--models, preset {preset}")
    params = validate_params(content, preset)
    with one_at_a_time(root):
        make_workspace(project, root, content)
        graph = read_graph(project / "dvc.yaml", content)
        graph = graph.towards(args.goals) if args.goals else graph
        bring_raw(project, root, params, graph)
        piece = Piece(budget_seconds=args.budget_seconds, grace_seconds=args.grace_seconds)
        folder, failure = project / "data" / "studies" / preset, None
        try:
            outcome = run_graph(root, graph, content, piece)
        except StageFailedError as error:
            outcome, failure = Outcome(error.done, None), error
        healed = write_tables(project, root, preset, whole)
        if failure is not None:
            raise failure
    if outcome.stopped_at:
        finished = models_with(FINISHED, params, outcome.done)
        log.info("models finished so far: %s", ", ".join(finished) or "none")
        log.info(
            "%d of %d stages are done, the first that is not is %s: run it again to go on",
            *(len(outcome.done), len(graph.stages), outcome.stopped_at),
        )
        raise SystemExit(UNFINISHED)
    if healed:
        log.info("%s", (folder / "table.md").read_text(encoding="utf-8").rstrip())
        log.info("study: %s", folder.relative_to(project))
    if not args.goals:  # else the report is that of an earlier run, or none
        log.info("report: %s", (root / "reports/index.html").relative_to(project))


if __name__ == "__main__":
    run_stage(main)

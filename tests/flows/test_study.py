"""The study: cells with their own parameters, one table, and what failed does not stop the rest."""

import shutil
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest

from flows import dvc
from flows.environment import stage_environment
from flows.errors import FlowError
from flows.study import FOLDER, Cell, cell_content, cells_of, run_study, settings_of
from tasks.errors import FewlayersError
from tasks.params import load_params, read_yaml
from tasks.sections.run import Study
from tests import ROOT
from tests.flows.support import Workspace

STAGE = '''
"""Writes an evaluation and scores whose numbers follow from params.yaml."""
import json, pathlib, re, sys

dataset, model = sys.argv[1:]
text = pathlib.Path("params.yaml").read_text()
seed = int(re.search(r"^seed: (.*)", text, re.M)[1])
share = float(re.search(r"shares:\\n *- (.*)", text)[1])
if any((pathlib.Path("tasks") / f"fail-{what}").exists() for what in (seed, model)):
    raise SystemExit("error: told to fail")
one = {"mse": 1.0 + share, "mae": 1.0, "mase": None}
made = {
    "dataset": dataset, "model": model, "family": "tsfm", "backbone_label": "gpt2",
    "num_windows": 9, "missing_points": 0, "layers_full": 12, "layers_kept": int(12 * share),
    "keep": list(range(int(12 * share))), "full": one, "full_is": "full", "full_untuned": one,
    "ways": {"pruned": "distilled", "full_extra": "plain", "scratch": "plain"},
    "zero_shot": None, "pruned": one, "verdict": "inconclusive", "margin": 0.02, "p_value": 0.5,
    "controls": {name: one for name in
                 ("random_0", "random_1", "first", "even", "scratch", "linear")},
    "p_superior": 0.5, "p_inferior": 0.5, "difference": 0.0, "interval": [-0.1, 0.1],
    "block_length": 3,
    "selection_adds": False, "valid_mse": {"full": 1.0, "pruned": 1.0}, "reason": "none",
    "recommendation": "keep the full one",
    "diebold_mariano": {"statistic": 0.0, "p_value": 1.0, "p_superior": 0.5,
                        "p_noninferior": 0.5, "p_inferior": 0.5, "verdict": "inconclusive"},
}
path = pathlib.Path("evaluation", dataset, model, "evaluation.json")
path.parent.mkdir(parents=True, exist_ok=True)
path.write_text(json.dumps(made))
falling = [(-1) ** seed * float(-block) for block in range(12)]  # the other way round every seed
scores = {
    "dataset": dataset, "model": model, "num_blocks": 12, "calibration_windows": 8,
    "calibration_sha256": "", "calibration_source": "validation", "cosine": [], "cka": [],
    "scores": {"removal_loss": {"values": falling, "parameters": {}}},
}
path = pathlib.Path("scores", dataset, f"{model}.json")
path.parent.mkdir(parents=True, exist_ok=True)
path.write_text(json.dumps(scores))
'''
GRAPH = """
stages:
  evaluate:
    matrix: {dataset: "${run.datasets}", model: "${run.models}"}
    cmd: python -m tasks.make ${item.dataset} ${item.model}
    params: [seed, search]
    outs:
      - evaluation/${item.dataset}/${item.model}
      - scores/${item.dataset}/${item.model}.json
"""
STUDIES = """
presets:
  small: {run: {datasets: [demo], models: {tiny: none}}}
  both:
    run: {datasets: [demo], models: {tiny: none, big: none}}
    models: {big: {family: tsfm, scale: pico}}
studies:
  two:
    preset: small
    changes: {search: {margin: 0.5}}
    seeds: [0, 1]
    horizons: [8]
    shares: [0.25, 0.5]
"""


@pytest.fixture
def project(workspace: Workspace) -> Workspace:
    workspace.write("params.yaml", workspace.read("params.yaml") + STUDIES)
    workspace.write("dvc.yaml", GRAPH)
    (workspace.root / "tasks").mkdir()
    workspace.write("tasks/make.py", STAGE)
    return workspace


def reproduce(root: Path) -> tuple[bool, str]:
    """Brings a cell up to date with the real dvc, without a server."""
    failed = []
    for stage in dvc.stage_graph(root):
        try:
            if not stage.is_source:
                dvc.reproduce(root, stage.name, environment=stage_environment(1), on_line=print)
        except FewlayersError as error:
            failed.append(str(error))
    return not failed, "; ".join(failed) or "done"


def test_every_cell_has_its_parameters_its_rows_and_a_comparison(project: Workspace) -> None:
    rows = run_study(project.root, "two", reproduce)
    assert list(rows["seed"]) == [0, 0, 1, 1]
    assert list(rows["kept"]) == [3, 6, 3, 6]
    params = load_params(project.root / ".state/presets/study-two/h8-s1-k50/params.yaml")
    assert (params.seed, params.search.shares, params.windows.horizon) == (1, [0.5], 8)
    assert params.search.margin == 0.5
    folder = project.root / FOLDER / "two"
    assert {path.name for path in folder.iterdir()} == {
        "cells", "tasks.csv", "outcomes.csv", "rivals.csv", "table.md", "stability.csv",
    }  # fmt: skip
    assert folder.with_suffix(".png").read_bytes().startswith(b"\x89PNG")
    assert len(pd.read_csv(folder / "tasks.csv")) == 4
    table = pd.read_csv(folder / "stability.csv")
    assert list(table["over"]) == ["training seed"] * 2  # there is one horizon
    assert list(table["share"]) == [0.25, 0.5]
    assert list(table["jaccard"]) == [1, 1]
    assert list(table["answer"]) == ["finding", "finding"]
    assert list(table["tau removal_loss"]) == [-1, -1]
    text = (folder / "table.md").read_text()
    assert "Are these the layers?" in text
    assert "| training seed | tiny | 25 % | 1 | 1.000 |" in text
    record = "data/studies/two.dvc"
    assert record not in dvc.status(project.root)
    (folder / "tasks.csv").write_text("other rows")  # git holds it; DVC would see a change
    assert record in dvc.status(project.root)
    assert record not in dvc.missing_outputs(project.root)
    shutil.rmtree(folder)
    assert record not in dvc.missing_outputs(project.root)  # no remote has it


def test_a_failed_cell_is_named_and_the_others_are_kept(project: Workspace) -> None:
    project.write("tasks/fail-0", "")
    with pytest.raises(FlowError, match=r"2 runs of the study two failed; first: h8-s0-k25.*told"):
        run_study(project.root, "two", reproduce)
    rows = pd.read_csv(project.root / FOLDER / "two" / "tasks.csv")
    assert list(rows["seed"]) == [1, 1]
    assert not (project.root / FOLDER / "two" / "stability.csv").exists()  # one seed left


def test_cells_may_be_run_apart(project: Workspace) -> None:
    folder = project.root / FOLDER / "two"
    run_study(project.root, "two", reproduce, ["h8-s0-k25", "h8-s0-k50"])
    first = {path.name: path.read_bytes() for path in (folder / "cells").iterdir()}
    assert set(first) == {"h8-s0-k25-demo.json", "h8-s0-k50-demo.json"}
    shutil.rmtree(folder / "cells")  # another machine, which has nothing of these
    assert list(run_study(project.root, "two", reproduce, ["h8-s1-k25-demo"])["seed"]) == [1]
    workspaces = {path.name for path in (project.root / ".state/presets/study-two").iterdir()}
    assert workspaces == {"h8-s0-k25", "h8-s0-k50", "h8-s1-k25"}, "a dataset has its cell's"
    for name, content in first.items():
        (folder / "cells" / name).write_bytes(content)
    rows = run_study(project.root, "two", reproduce, [])
    assert list(rows["seed"]) == [0, 0, 1]
    assert len(pd.read_csv(folder / "stability.csv")) == 1  # both seeds are there of one size
    assert "makes one anew" not in (folder / "table.md").read_text()


def test_datasets_of_a_cell_are_run_together_and_no_other(project: Workspace) -> None:
    three = "  three: {run: {datasets: [demo, more, rest], models: {tiny: none}}, "
    three += "datasets: {more: {}, rest: {}}}\nstudies:\n  three: {preset: three, horizons: [8]}\n"
    project.write("params.yaml", project.read("params.yaml").replace("studies:\n", three))
    runs: list[list[str]] = []

    def watched(root: Path) -> tuple[bool, str]:
        runs.append(load_params(root / "params.yaml").run.datasets)
        return reproduce(root)

    (cell,) = cells_of(load_params(project.root / "params.yaml").studies["three"])
    names = [f"{cell.name}-{dataset}" for dataset in ("rest", "demo")]
    rows = run_study(project.root, "three", watched, names)
    assert runs == [["demo", "rest"]]
    assert list(rows["dataset"]) == ["demo", "rest"]
    run_study(project.root, "three", watched, [names[0], cell.name])
    assert runs[1:] == [["demo", "more", "rest"]]


def test_cells_by_other_code_are_named_and_never_lost_to_a_failure(project: Workspace) -> None:
    run_study(project.root, "two", reproduce)
    folder = project.root / FOLDER / "two"
    before = (folder / "cells/h8-s0-k25-demo.json").read_bytes()
    project.write("dvc.yaml", GRAPH.replace("-m tasks.make", "-B -m tasks.make"))
    project.write("tasks/fail-0", "")
    with pytest.raises(FlowError, match="2 runs of the study two failed"):
        run_study(project.root, "two", reproduce)
    assert (folder / "cells/h8-s0-k25-demo.json").read_bytes() == before
    table = (folder / "table.md").read_text()
    assert "(`--only NAME` makes one anew): h8-s0-k25, h8-s0-k50.\n" in table
    (project.root / "tasks/fail-0").unlink()
    run_study(project.root, "two", reproduce)
    assert "makes one anew" not in (folder / "table.md").read_text()


def test_a_model_that_cannot_be_trained_costs_no_other_its_rows(project: Workspace) -> None:
    pair = "  pair: {preset: both, horizons: [8]}\n"
    project.write("params.yaml", project.read("params.yaml") + pair)
    project.write("tasks/fail-big", "")
    with pytest.raises(FlowError, match="1 runs of the study pair failed"):
        run_study(project.root, "pair", reproduce)
    folder = project.root / FOLDER / "pair"
    assert list(pd.read_csv(folder / "tasks.csv")["model"]) == ["tiny"]
    table = (folder / "table.md").read_text()
    assert table.startswith("Not there, as a stage before it failed: big of h8-s0-k25-demo.\n")
    (project.root / "tasks/fail-big").unlink()
    whole = run_study(project.root, "pair", reproduce)
    assert list(whole["model"]) == ["tiny", "big"]
    project.write("tasks/fail-big", "")
    project.write("dvc.yaml", GRAPH.replace("-m tasks.make", "-B -m tasks.make"))
    with pytest.raises(FlowError, match="1 runs of the study pair failed"):
        run_study(project.root, "pair", reproduce)
    assert len(pd.read_csv(folder / "tasks.csv")) == 2, "the other stands as it was found earlier"
    table = (folder / "table.md").read_text()
    assert "(`--only NAME` makes one anew): big of h8-s0-k25-demo.\n" in table
    assert "data/studies/pair.dvc" not in dvc.status(project.root), "tables that DVC knows"


def test_a_new_delivery_makes_what_was_run_before_it_another(project: Workspace) -> None:
    params = load_params(project.root / "params.yaml")
    cell = cells_of(params.studies["two"])[0]

    def now() -> str:
        return settings_of(project.root, cell_content(project.root, params.studies["two"], cell))

    before = now()
    project.write("data/raw/demo/rows.csv", "1")
    project.write("data/raw/demo.dvc", "outs:\n- {md5: 1a.dir, hash: md5, path: demo}\n")
    first = now()
    project.write("data/raw/demo.dvc", "outs:\n- {md5: 2b.dir, hash: md5, path: demo}\n")
    assert len({before, first, now()}) == 3


def test_of_a_mix_of_the_studys_own_datasets_all_members_are_run(project: Workspace) -> None:
    study = """
  mixed:
    run:
      datasets: [demo, more, apart]
      models: {big: tiny}
      mixes: [both]
      pretrain: {tiny: both}
    datasets: {more: {}, apart: {}}
    mixes: {both: {members: [demo, more]}}
    models: {big: {family: tsfm, scale: pico, start: {kind: pretrained, model: tiny}}}
studies:
  mixed: {preset: mixed, horizons: [8]}
"""
    project.write("params.yaml", project.read("params.yaml").replace("\nstudies:\n", study))
    mixed = load_params(project.root / "params.yaml").studies["mixed"]
    piece = cells_of(mixed)[0]
    runs = {
        dataset: cell_content(project.root, mixed, replace(piece, dataset=dataset))["run"]
        for dataset in ("demo", "apart")
    }
    assert runs["demo"]["datasets"] == ["demo", "more"]
    assert runs["apart"]["datasets"] == ["demo", "more", "apart"]


@pytest.mark.parametrize(
    ("name", "only", "message"),
    [
        ("three", None, "there is no study 'three'; studies: two"),
        (
            "two",
            ["h9-s0-k25"],
            "the study two has no cell 'h9-s0-k25'; cells: h8-s0-k25, .* with -DATASET: demo",
        ),
        ("two", [], "no cell of the study two has been run"),
    ],
)
def test_what_is_not_there_is_named(
    project: Workspace, name: str, only: list[str] | None, message: str
) -> None:
    with pytest.raises(FlowError, match=message):
        run_study(project.root, name, reproduce, only)


def test_cells_are_all_combinations() -> None:
    study = Study(preset="small", seeds=[0, 1], horizons=[8, 16], shares=[0.25, 0.5])
    assert len(set(cells_of(study))) == len(cells_of(study)) == 8
    assert Cell(1, 16, 0.5) in cells_of(study)
    assert Cell(0, 8, 0.25).name == "h8-s0-k25"


@pytest.mark.parametrize("name", read_yaml(ROOT / "params.yaml")["studies"])
def test_every_cell_of_the_projects_own_studies_has_valid_parameters(name: str) -> None:
    study = load_params(ROOT / "params.yaml").studies[name]
    for cell in cells_of(study):
        content = cell_content(ROOT, study, cell)
        assert content["windows"]["horizon"] == cell.horizon
        assert study.models is None or set(content["run"]["models"]) == set(study.models)

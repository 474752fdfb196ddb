"""dvc.yaml expanded without DVC is what DVC itself makes of it."""

import shutil
from pathlib import Path
from typing import Any

import pytest
from dvc.repo import Repo

from flows import dvc
from tasks.errors import ParamsError
from tasks.params import validate_params, yaml_text
from tasks.pipeline.graph import Graph, read_graph
from tasks.presets import load_preset, merge
from tests import ROOT


def write(root: Path, graph: str, params: str = "seed: 0\n") -> Path:
    (root / "params.yaml").write_text(params)
    (root / "dvc.yaml").write_text(graph)
    return root / "dvc.yaml"


WITH_MIX: dict[str, Any] = {
    "run": {
        "datasets": ["demo", "etth1"],
        "models": {"tsfm-pico": "none", "specialised": "base"},
        "corpora": ["synthetic_corpus"],
        "mixes": ["both"],
        "pretrain": {"base": "both"},
        "imports": {"given": "/checkpoints/given"},
    },
    "mixes": {"both": {"members": ["synthetic_corpus", "demo"]}},
    "models": {
        "given": {
            "family": "patchtst",
            "start": {"kind": "folder", "path": "/checkpoints/given"},
        },
        "base": {"family": "tsfm", "scale": "pico", "patch": 16},
        "specialised": {
            "family": "tsfm",
            "scale": "pico",
            "patch": 16,
            "start": {"kind": "pretrained", "model": "base"},
        },
    },
}


@pytest.mark.parametrize("preset", ["gpu-pico", "smoke with a mix"])
def test_stages_and_their_parents_are_those_of_dvc(tmp_path: Path, preset: str) -> None:
    content = load_preset(ROOT / "params.yaml", preset.split(maxsplit=1)[0])
    if preset != "gpu-pico":
        content = merge(content, WITH_MIX)
        validate_params(content, preset)
    (tmp_path / "params.yaml").write_text(yaml_text(content))
    shutil.copyfile(ROOT / "dvc.yaml", tmp_path / "dvc.yaml")
    dvc.prepare(tmp_path)
    graph = read_graph(tmp_path / "dvc.yaml", content)
    known = dvc.stage_graph(tmp_path)
    theirs = {stage.name: set(stage.parents) for stage in known}
    assert {name: set(parents) for name, parents in graph.parents.items()} == theirs
    alone = {stage.name for stage in graph.stages if stage.is_alone}
    assert alone == {stage.name for stage in known if stage.is_alone} != set()
    repo = Repo(str(tmp_path))
    for stage in repo.index.stages:
        own = next(one for one in graph.stages if one.name == stage.name)
        assert own.command == stage.cmd
        assert set(own.outs) == {out.def_path for out in stage.outs}
        files = {dep.def_path for dep in stage.deps if not hasattr(dep, "params")}
        assert set(own.deps) == files
        params = {key for dep in stage.deps if hasattr(dep, "params") for key in dep.params}
        assert set(own.params) == params


def places(graph: Graph) -> dict[str, int]:
    return {stage.name: number for number, stage in enumerate(graph.stages)}


def test_parents_come_first_and_one_model_is_finished_before_the_next() -> None:
    content = load_preset(ROOT / "params.yaml", "gpu")
    graph = read_graph(ROOT / "dvc.yaml", content)
    place = places(graph)
    for name, parents in graph.parents.items():
        assert all(place[parent] < place[name] for parent in parents)
    ends = [place[f"measure@six-tsfm-{scale}"] for scale in ("tiny", "small", "base", "large")]
    starts = [place[f"train@six-tsfm-{scale}"] for scale in ("small", "base", "large")]
    assert all(end < start for end, start in zip(ends[:-1], starts, strict=True))


@pytest.mark.parametrize(
    ("graph", "message"),
    [
        ("stages: {a: {cmd: 'python -m x ${y.z}'}}", r"a: \$\{y.z\} is not understood without DVC"),
        ("stages: {a: {cmd: x, frozen: true}}", "a: 'frozen' is not understood without DVC"),
        ("stages: {a: {cmd: x, outs: [{b: {cache: false}}]}}", "is not understood without DVC"),
        ("stages: {a: {matrix: {b: '${run.none}'}, cmd: x}}", "must name a list or mapping"),
        ("stages: {a: {foreach: [1], do: {cmd: x}}}", "foreach must name a mapping"),
        ("stages: {a: {cmd: x, outs: [b]}, c: {cmd: x, outs: [b]}}", "make the same output"),
        (
            "stages: {a: {cmd: x, deps: [b], outs: [c]}, d: {cmd: x, deps: [c], outs: [b/e]}}",
            "a cycle holds a, d",
        ),
    ],
)
def test_what_is_not_understood_is_refused(tmp_path: Path, graph: str, message: str) -> None:
    with pytest.raises(ParamsError, match=message):
        read_graph(write(tmp_path, graph), {"run": {}})

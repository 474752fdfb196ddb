"""The structure holds: imports point one way, and dvc.yaml lists what each stage needs."""

import ast
import re
from pathlib import Path

import pytest
from dvc.utils.serialize import parse_yaml
from ruamel.yaml import YAML

from tasks.params import Params, read_yaml
from tasks.pipeline.code import code_files, imported_files
from tests import ROOT

STAGES = YAML(typ="safe").load((ROOT / "dvc.yaml").read_text(encoding="utf-8"))["stages"]
NOT_STAGE_PARAMS = {"runtime", "presets", "studies"}  # how to run; changing them changes no result
LAYERS = [
    ["errors", "sections", "params", "presets", "artifacts", "runtime"],
    ["data"],
    ["models", "custom"],
    ["masks"],
    ["scorers", "searchers", "training", "metrics", "pipeline"],
    ["figures"],
]  # fmt: skip


def body_of(group: dict) -> dict:
    """The stage body of a plain, matrix or foreach entry."""
    return group.get("do", group)


def module_of(name: str) -> str:
    """The module that a stage's command `python -m tasks.MODULE ...` runs."""
    return body_of(STAGES[name])["cmd"].split()[2].removeprefix("tasks.")


def files(folder: str) -> list[Path]:
    return sorted((ROOT / folder).rglob("*.py"))


def layer_of(path: Path) -> int:
    """The layer of a library, or the one above all for a stage."""
    first = path.relative_to(ROOT / "tasks").parts[0].removesuffix(".py")
    for number, names in enumerate(LAYERS):
        if first in names:
            return number
    return len(LAYERS)


@pytest.mark.parametrize("name", STAGES)
def test_stages_depend_on_the_code_they_run(name):
    deps = body_of(STAGES[name])["deps"]
    code = [dep for dep in deps if dep.split("/")[0] in {"tasks", "code"}]
    assert code == (["tasks"] if name == "code" else [f"code/{module_of(name)}.sha256"])


def params_read_by(module: str) -> set[str]:
    """The sections that the code of a stage reads as `params.SECTION` or `job.params.SECTION`."""
    own = {ROOT / "tasks/params.py", ROOT / "tasks/runtime.py"}
    found: set[str] = set()
    for path in code_files(ROOT, ROOT / f"tasks/{module}.py"):
        if path.suffix == ".py" and path not in own:
            found |= set(re.findall(r"\bparams\.(\w+)", path.read_text(encoding="utf-8")))
    if "training_of" in found:
        found |= {"training", "models"}
    return found & set(Params.model_fields)


@pytest.mark.parametrize("name", STAGES)
def test_stages_list_the_params_they_read(name):
    listed = {entry.split(".")[0] for entry in body_of(STAGES[name]).get("params", [])}
    missing = params_read_by(module_of(name)) - listed - NOT_STAGE_PARAMS
    assert not missing


def test_only_evaluate_depends_on_the_test_range():
    """`prepare` writes it to data/test/; no other stage lists that folder or one above it."""
    readers = {
        name
        for name, group in STAGES.items()
        for dep in body_of(group)["deps"]
        if isinstance(dep, str) and (dep.startswith("data/test") or dep in {"data", "."})
    }
    assert readers == {"evaluate"}


def test_only_evaluate_and_prepare_name_the_test_range():
    named = {
        str(path.relative_to(ROOT))
        for path in files("tasks")
        if "data/test" in path.read_text(encoding="utf-8")
    }
    assert named == {"tasks/evaluate.py", "tasks/prepare.py"}


def test_imports_point_one_way():
    for path in files("tasks"):
        for target in imported_files(ROOT, path):
            assert layer_of(target) <= layer_of(path), f"{path} imports {target}"


def test_stages_do_not_import_stages():
    top = len(LAYERS)
    for path in files("tasks"):
        if layer_of(path) == top:
            assert all(layer_of(target) < top for target in imported_files(ROOT, path)), path


def imported_packages(path: Path) -> set[str]:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    names = [a.name for n in ast.walk(tree) if isinstance(n, ast.Import) for a in n.names]
    names += [n.module for n in ast.walk(tree) if isinstance(n, ast.ImportFrom) and n.module]
    return {name.split(".")[0] for name in names}


def test_tasks_know_neither_prefect_nor_dvc_nor_flows():
    for path in files("tasks"):
        assert not imported_packages(path) & {"prefect", "dvc", "flows"}, path


def test_only_one_module_imports_dvc():
    importers = [path.name for path in files("flows") if "dvc" in imported_packages(path)]
    assert importers == ["dvc.py"]


@pytest.mark.parametrize("path", [*files("tasks"), *files("flows")], ids=str)
def test_files_stay_short_and_documented(path):
    text = path.read_text(encoding="utf-8")
    assert len(text.splitlines()) <= 300
    assert ast.get_docstring(ast.parse(text)), "a module says what it is"


def test_dvc_reads_params_as_we_do():
    path = ROOT / "params.yaml"
    assert parse_yaml(path.read_text(encoding="utf-8"), str(path)) == read_yaml(path)


def test_yaml_is_read_by_the_safe_reader_alone():
    for path in [*files("tasks"), *files("flows")]:
        assert "yaml" not in imported_packages(path), f"{path}: PyYAML reads 1e-3 as text"


def test_nothing_unpickles_or_runs_remote_code():
    forbidden = re.compile(r"torch\.load\(|pickle\.|trust_remote_code=True|shell=True")
    for path in [*files("tasks"), *files("flows")]:
        for line in path.read_text(encoding="utf-8").splitlines():
            assert not forbidden.search(line), f"{path}: {line}"

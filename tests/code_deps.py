"""The code files each stage of dvc.yaml must list, read from the imports.

`python -m tests.code_deps` rewrites the lists in dvc.yaml; test_architecture.py checks them.
"""

import ast
from pathlib import Path

from ruamel.yaml import YAML

ROOT = Path(__file__).resolve().parents[1]
TEMPLATES = {"tasks/report.py": ["tasks/figures/report.html.j2"]}


def module_path(module: str) -> Path | None:
    """The file of a module of ours, or None."""
    path = ROOT.joinpath(*module.split("."))
    for candidate in (path.with_suffix(".py"), path / "__init__.py"):
        if candidate.is_file():
            return candidate
    return None


def direct_imports(path: Path) -> set[Path]:
    """The files of tasks/ that a file imports, at any level of indentation."""
    found: set[Path] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        names: list[str] = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            names = [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
        for name in names:
            target = module_path(name) if name.split(".")[0] == "tasks" else None
            if target and target.name != "__init__.py":
                found.add(target)
    return found


def code_of(stage_file: str) -> list[str]:
    """All code files a stage module needs, itself included, as sorted relative paths."""
    todo, seen = [ROOT / stage_file], set[Path]()
    while todo:
        path = todo.pop()
        if path not in seen:
            seen.add(path)
            todo += direct_imports(path)
    files = [str(path.relative_to(ROOT)) for path in seen]
    extra = [ROOT / name for name in TEMPLATES.get(stage_file, [])]
    return sorted([*files, *(str(p.relative_to(ROOT)) for p in extra if p.is_file())])


def stage_file(command: str) -> str:
    """The module file in a stage's command `python -m tasks.NAME ...`."""
    return command.split()[2].replace(".", "/") + ".py"


def body_of(group: dict) -> dict:
    """The stage body of a plain, matrix or foreach entry."""
    return group.get("do", group)


def is_code(dep: object) -> bool:
    """Whether a dependency is a code file of tasks/."""
    return isinstance(dep, str) and dep.startswith("tasks/")


def main() -> None:
    """Rewrites the code dependencies in dvc.yaml."""
    yaml = YAML()
    yaml.width = 100
    yaml.indent(mapping=2, sequence=4, offset=2)
    path = ROOT / "dvc.yaml"
    content = yaml.load(path.read_text(encoding="utf-8"))
    for group in content["stages"].values():
        body = body_of(group)
        data = [dep for dep in body.get("deps", []) if not is_code(dep)]
        body["deps"] = [*data, *code_of(stage_file(body["cmd"]))]
    with path.open("w", encoding="utf-8") as file:
        yaml.dump(content, file)


if __name__ == "__main__":
    main()

"""The code that a stage runs, read from its imports: what makes it stale when it changes."""

import ast
import inspect
from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path

from tasks.artifacts.files import sha256_of

ROOT = Path(__file__).parents[2]  # holds tasks/


def code_files(root: Path, module: Path) -> list[Path]:
    """The files below `tasks/` that a module needs, itself included, sorted.

    Those are the modules that it imports, directly or not, at any level of indentation, and the
    data files that one of them names and that lie beside it, such as a template.

    Args:
        root: the folder that holds `tasks/`.
        module: the file of a stage.
    """
    todo, seen = [module], set[Path]()
    while todo:
        path = todo.pop()
        if path not in seen:
            seen.add(path)
            todo += imported_files(root, path)
    return sorted(seen | {file for path in seen for file in _named_files(path)})


@cache
def imported_files(root: Path, path: Path) -> frozenset[Path]:
    """The files below `tasks/` that a file imports directly; each is parsed once a process.

    A package imported by itself (`import tasks.custom`) stands for all its modules: they are then
    imported from it by names that stand elsewhere.
    """
    found: set[Path] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        for name in _imported_names(node):
            target = root.joinpath(*name.split("."))
            if name.split(".")[0] == "tasks" and target.with_suffix(".py").is_file():
                found.add(target.with_suffix(".py"))
            elif isinstance(node, ast.Import) and name.startswith("tasks."):
                found |= set(target.rglob("*.py"))
    return frozenset(found)


def _imported_names(node: ast.AST) -> Iterator[str]:
    if isinstance(node, ast.Import):
        yield from (alias.name for alias in node.names)
    elif isinstance(node, ast.ImportFrom) and node.module:
        yield node.module
        yield from (f"{node.module}.{alias.name}" for alias in node.names)


def _named_files(path: Path) -> Iterator[Path]:
    text = path.read_text(encoding="utf-8")
    for other in path.parent.iterdir():
        if other.is_file() and other.suffix != ".py" and other.name in text:
            yield other


def code_behind(types: Iterable[type]) -> str:
    """The checksums of the files below `tasks/` that define these types, and of all they need.

    Types from elsewhere (libraries, tests) are left out.
    """
    defined = {Path(inspect.getfile(one)) for one in types}
    own = [path for path in defined if path.is_relative_to(ROOT / "tasks")]
    return checksums(ROOT, sorted({file for path in own for file in code_files(ROOT, path)}))


def checksums(root: Path, files: list[Path]) -> str:
    """One line per file, as `sha256sum` writes them: the hash and the path from `root`."""
    return "".join(f"{sha256_of(file)}  {file.relative_to(root).as_posix()}\n" for file in files)

"""A stage's code is what it imports, and a change shows in the stages that run it."""

import subprocess
from pathlib import Path

import pytest

from tasks.code import main
from tasks.pipeline.code import ROOT, code_behind, code_files
from tasks.training.recipe import Student

MODULES = {
    "tasks/__init__.py": "",
    "tasks/first.py": "from tasks.data import rows\n",
    "tasks/second.py": "def late():\n    import tasks.page\n",
    "tasks/page.py": 'import json\nfrom tasks.data.rows import ONE\nTEMPLATE = "page.html"\n',
    "tasks/page.html": "<p>",
    "tasks/other.html": "<p>",
    "tasks/data/__init__.py": "",
    "tasks/third.py": "import tasks.own\n",
    "tasks/own/__init__.py": "",
    "tasks/own/mine.py": "from tasks.data.cells import ONE\n",
    "tasks/data/rows.py": "from tasks.data.cells import ONE\n",
    "tasks/data/cells.py": "ONE = 1\n",
}


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name, text in MODULES.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def checksums() -> dict[str, str]:
    main([])
    return {path.stem: path.read_text() for path in Path("code").glob("*.sha256")}


def test_imports_are_followed_at_any_depth_and_data_files_that_are_named(project: Path) -> None:
    found = code_files(project, project / "tasks/second.py")
    assert [str(path.relative_to(project)) for path in found] == [
        "tasks/data/cells.py", "tasks/data/rows.py", "tasks/page.html", "tasks/page.py",
        "tasks/second.py",
    ]  # fmt: skip


def test_the_code_behind_a_type_is_its_file_and_what_that_imports() -> None:
    files = [line.split("  ")[1] for line in code_behind([Student, Path]).splitlines()]
    assert "tasks/training/recipe.py" in files
    assert "tasks/training/optimizer.py" in files  # which recipe.py imports
    assert files == sorted(files)
    assert all((ROOT / file).is_file() for file in files)
    assert code_behind([Path]) == ""


@pytest.mark.parametrize(
    ("changed", "readers"),
    [
        ("tasks/data/cells.py", {"first", "page", "second", "third"}),
        ("tasks/own/mine.py", {"third"}),  # imported by a name in params.yaml
        ("tasks/page.html", {"page", "second"}),
        ("tasks/first.py", {"first"}),
        ("tasks/other.html", set()),
        ("tasks/data/__init__.py", set()),
    ],
)
def test_a_change_shows_in_the_modules_that_run_it(
    project: Path, changed: str, readers: set[str]
) -> None:
    before = checksums()
    (project / changed).write_text(MODULES[changed] + "\n")
    after = checksums()
    assert set(before) == {"first", "second", "third", "page"}
    assert {name for name in before if before[name] != after[name]} == readers


@pytest.mark.usefixtures("project")
def test_sha256sum_reads_them() -> None:
    checksums()
    command = ["sha256sum", "-c", "code/second.sha256"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count(": OK") == 5

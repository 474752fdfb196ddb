"""The console script: help, exit statuses, and whole commands in a process of their own."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from flows.cli import keep_examples
from flows.options import as_options
from tests.flows.support import Workspace

PROJECT = Path(__file__).parents[2]


def fewlayers(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {k: v for k, v in os.environ.items() if not k.startswith("PREFECT_")}
    return subprocess.run(
        [sys.executable, "-m", "flows.cli", *arguments],
        cwd=folder,
        env=environment | {"PYTHONPATH": str(PROJECT), "COLUMNS": "100"},
        capture_output=True,
        text=True,
        timeout=180,
        check=False,
    )


COMMANDS = [
    "run", "study", "add-data", "add-model", "check", "forecast", "export", "score", "prune", "ui",
    "doctor",
]  # fmt: skip


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help_with_an_example(tmp_path: Path, command: str) -> None:
    done = fewlayers(tmp_path, command, "--help")
    assert done.returncode == 0
    examples = done.stdout.split("\n  Example", 1)[1].split("\n\n")
    assert examples[0].splitlines()[1].startswith(f"    fewlayers {command}")


def test_examples_keep_their_lines() -> None:
    text = "Does it.\n\nFor long.\n\nExamples:\n  fewlayers one\n\n  fewlayers two"
    kept = "Does it.\n\nFor long.\n\n\b\nExamples:\n  fewlayers one\n\n\b\n  fewlayers two"
    assert keep_examples(text) == kept
    assert keep_examples("Does it.\n\nFor long.") == "Does it.\n\nFor long."


def test_help_lists_all_commands(tmp_path: Path) -> None:
    done = fewlayers(tmp_path, "--help")
    assert done.returncode == 0
    for command in COMMANDS:
        assert command in done.stdout


@pytest.mark.parametrize("arguments", [["--nonsense"], ["rum"], ["check"], ["run", "surplus"]])
def test_usage_errors_exit_with_2(tmp_path: Path, arguments: list[str]) -> None:
    assert fewlayers(tmp_path, *arguments).returncode == 2


def test_our_errors_are_one_line_and_exit_with_1(workspace: Workspace) -> None:
    done = fewlayers(workspace.root, "run", "--preset", "absent")
    assert done.returncode == 1
    assert done.stdout == ""
    expected = f"error: {workspace.root}/params.yaml: there is no preset 'absent'; presets: none"
    assert done.stderr.splitlines() == [expected]


def test_check_tells_what_it_found_and_changes_nothing(workspace: Workspace) -> None:
    rows = "".join(f"2024-01-{d:02d} {h:02d}:00,{h + d}\n" for d in range(1, 31) for h in range(24))
    workspace.write("sales.csv", f"date,load\n{rows}")
    before = sorted(workspace.root.rglob("*"))
    good = fewlayers(workspace.root, "check", "sales.csv", "--freq", "h", "--time-column", "date")
    assert good.returncode == 0, good.stderr
    assert "720" in good.stdout
    assert sorted(workspace.root.rglob("*")) == before
    bad = fewlayers(workspace.root, "check", "sales.csv", "--time-column", "day")
    assert (bad.returncode, bad.stdout) == (1, "")
    assert bad.stderr.startswith("error: sales.csv")
    assert len(bad.stderr.splitlines()) == 1
    absent = fewlayers(workspace.root, "check", "sale.csv")
    assert absent.stderr == "error: sale.csv: no such file or folder; check the path\n"


def test_remedies_are_the_options_of_the_command() -> None:
    message = "times.csv: set `kind: long`, `decimal: ','` or `time_column`; see `dvc pull`"
    expected = "times.csv: set `--kind long`, `--decimal ','` or `--time-column`; see `dvc pull`"
    assert as_options(message) == expected
    assert as_options("name the other columns in `targets`") == (
        "name the other columns in `--target`"
    )


@pytest.mark.flow
def test_run_starts_its_own_server_and_tells_the_outcome(workspace: Workspace) -> None:
    workspace.write(
        "work.py",
        workspace.read("work.py") + "if name == 'last':\n"
        "    pathlib.Path('reports').mkdir(exist_ok=True)\n"
        "    pathlib.Path('reports/index.html').write_text('page')\n"
        "    pathlib.Path('reports/summary.json').write_text(json.dumps([dict(dataset='demo',\n"
        "        model='tiny', layers_kept=3, layers_full=12, mse_full=0.5, mse_pruned=0.25,\n"
        "        verdict='superior', speedup_p50=2.75)]))\n",
    )
    done = fewlayers(workspace.root, "run")
    assert done.returncode == 0, done.stderr
    assert "left | left: 1/2 half" in done.stdout
    assert "6 stages: 5 completed, 0 restored, 1 cached" in done.stdout
    row = next(line for line in done.stdout.splitlines() if "superior" in line)
    assert [cell.strip() for cell in row.strip("│ ").split("│")] == [
        "demo", "tiny", "3 of 12", "0.5000", "0.2500", "superior", "2.75x",
    ]  # fmt: skip
    assert done.stdout.rstrip().endswith("reports/index.html")
    assert (workspace.root / ".state" / "prefect" / "prefect.db").is_file()

    workspace.control(fail="left")
    workspace.write("data/raw/source.txt", "two\n")
    failed = fewlayers(workspace.root, "run")
    assert failed.returncode == 1
    assert failed.stderr.splitlines() == [
        "error: left: the answer must be 42; got 41 in work.py; think again "
        "(1 stages that depend on it did not run)"
    ]


def test_prefect_is_not_imported_before_its_settings_are_in_place() -> None:
    """Prefect reads its settings when it is imported; too early, it starts a second server."""
    code = (
        "import sys, flows.cli, flows.summary, flows.server, flows.workspace, flows.add_data; "
        "sys.exit('prefect' in sys.modules)"
    )
    assert (
        subprocess.run(
            [sys.executable, "-c", code], check=False, cwd=Path(__file__).parents[2]
        ).returncode
        == 0
    )

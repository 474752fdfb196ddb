"""`fewlayers prune` finds the family, prunes, and tells what it read and wrote."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from flows.checkpoints import parse_keep
from flows.cli import app
from tasks.errors import ParamsError
from tests.tiny import tiny_model


def run(*arguments: str) -> list[str]:
    done = CliRunner().invoke(app, ["prune", *arguments], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return done.output.splitlines()


@pytest.mark.parametrize("keep", ["0 3", "3,0"])
def test_prune_tells_what_it_read_and_wrote(tmp_path: Path, keep: str) -> None:
    tiny_model("llama").save(tmp_path)
    lines = run(f"{tmp_path}/backbone", f"{tmp_path}/out", "--keep", keep)
    assert lines == [
        "blocks:  2 of 5 in layers: 0 3",
        f"read:    0.000 of 0.000 GB, 20 of 47 tensors, {tmp_path}/backbone",
        f"written: 0.000 GB in 1 file, {tmp_path}/out",
    ]
    assert json.loads((tmp_path / "out/config.json").read_text())["num_hidden_layers"] == 2


def test_a_family_can_be_named(tmp_path: Path) -> None:
    tiny_model("llama").save(tmp_path)
    path = tmp_path / "backbone/config.json"
    data = json.loads(path.read_text()) | {"model_type": "own", "architectures": ["Own"]}
    path.write_text(json.dumps(data))
    with pytest.raises(ParamsError, match=r"no family is known by model_type 'own', architec"):
        run(f"{tmp_path}/backbone", f"{tmp_path}/out", "--keep", "1")
    run(f"{tmp_path}/backbone", f"{tmp_path}/out", "--keep", "1", "--family", "llama")
    assert json.loads((tmp_path / "out/config.json").read_text())["model_type"] == "own"


@pytest.mark.parametrize("text", ["", " , ", "1 x", "0-3", "-1", "1.5"])
def test_keep_must_be_numbers(text: str) -> None:
    with pytest.raises(ParamsError, match="--keep must be numbers of blocks such as"):
        parse_keep(text)

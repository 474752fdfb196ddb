"""One command brings a checkpoint in, or leaves everything as it was."""

from pathlib import Path

import pytest

from flows.add_model import add_model
from flows.errors import FlowError
from tasks.errors import CheckpointError, ParamsError
from tasks.params import load_params
from tests.flows.support import Workspace
from tests.tasks.models.zoo.tiny_bolt import save_as_library

pytest.importorskip("chronos")
COMMIT = "0123456789abcdef0123456789abcdef01234567"


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    save_as_library(tmp_path / "chronos-bolt")
    return tmp_path / "chronos-bolt"


@pytest.fixture
def project(workspace: Workspace) -> Workspace:
    text = workspace.read("params.yaml")
    text = text.replace("models:\n", "models:  # what we prune\n")
    workspace.write("params.yaml", text + "\n# the end\ntraining: {steps: 5}  # few\n")
    return workspace


def test_a_folder_is_entered_with_what_is_made_from_it(
    project: Workspace, checkpoint: Path
) -> None:
    added = add_model(project.root, "bolt", str(checkpoint), as_it_is=True)
    assert added.names == ["bolt", "bolt-tuned", "bolt-as-is"]
    assert added.told().startswith("bolt: chronos_bolt, 5 blocks (3 in encoder.block, 2 in dec")
    params = load_params(project.root / "params.yaml")
    assert params.run.imports == {"bolt": str(checkpoint)}
    assert params.run.models == {"tiny": "none", "bolt-tuned": "bolt", "bolt-as-is": "bolt"}
    assert params.models["bolt-tuned"].training == {}
    assert params.models["bolt-as-is"].training == {"steps": 0}
    text = project.read("params.yaml")
    for kept in ("# what we prune", "# the end", "# few"):
        assert kept in text
    assert text.index("bolt-as-is:") < text.index("# the end") < text.index("training: {steps: 5}")


def test_a_folder_in_the_project_is_named_relative_to_it(project: Workspace) -> None:
    save_as_library(project.root / "checkpoints/bolt")
    added = add_model(
        project.root, "bolt", str(project.root / "checkpoints/bolt"), hub_id="amazon/chronos-bolt"
    )
    assert added.names == ["bolt", "bolt-tuned"]
    params = load_params(project.root / "params.yaml")
    assert params.run.imports == {"bolt": "checkpoints/bolt"}
    assert params.models["bolt"].start.id == "amazon/chronos-bolt"  # type: ignore[union-attr]


def test_two_checkpoints_can_be_added(project: Workspace, checkpoint: Path) -> None:
    add_model(project.root, "one", str(checkpoint))
    add_model(project.root, "two", str(checkpoint))
    params = load_params(project.root / "params.yaml")
    assert set(params.run.imports) == {"one", "two"}


def broken(checkpoint: Path, what: str) -> str:
    """The source to give, of a checkpoint with one thing wrong."""
    if what == "no weights":
        (checkpoint / "model.safetensors").rename(checkpoint / "pytorch_model.bin")
    elif what == "torn":
        (checkpoint / "model.safetensors").write_bytes(b"half")
    elif what == "no config":
        (checkpoint / "config.json").unlink()
    elif what == "a file":
        return str(checkpoint / "config.json")
    elif what == "other blocks":
        text = (checkpoint / "config.json").read_text()
        (checkpoint / "config.json").write_text(
            text.replace('"num_decoder_layers": 2', '"num_decoder_layers": 3')
        )
    return str(checkpoint)


@pytest.mark.parametrize(
    ("what", "error", "message"),
    [
        ("no weights", CheckpointError, "holds no *.safetensors"),
        ("torn", CheckpointError, "not a whole safetensors file"),
        ("no config", CheckpointError, "no config.json there"),
        ("a file", FlowError, "is a file; name the folder that holds it"),
        ("other blocks", CheckpointError, "not a whole chronos_bolt checkpoint"),
    ],
)
def test_a_checkpoint_that_cannot_be_loaded_changes_nothing(
    project: Workspace, checkpoint: Path, what: str, error: type[Exception], message: str
) -> None:
    before = project.read("params.yaml")
    with pytest.raises(error) as found:
        add_model(project.root, "bolt", broken(checkpoint, what))
    assert message in str(found.value)
    assert "\n" not in str(found.value)
    assert project.read("params.yaml") == before


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("tiny", {}, "there is a model 'tiny' already"),
        ("../up", {}, "a model's name must be letters"),
        ("bolt", {"family": "bolt"}, "--family: must be one of chronos_bolt, "),
        ("bolt", {"revision": COMMIT}, "--revision: belongs to a hub id"),
        ("bolt", {"hub_id": "not an id"}, "--hub-id: must be an id on the hub"),
    ],
)
def test_a_bad_name_or_option_is_named(
    project: Workspace, checkpoint: Path, name: str, options: dict[str, str], message: str
) -> None:
    before = project.read("params.yaml")
    with pytest.raises(ParamsError) as found:
        add_model(project.root, name, str(checkpoint), **options)  # type: ignore[arg-type]
    assert message in str(found.value)
    assert project.read("params.yaml") == before


@pytest.mark.parametrize("revision", ["main", "0123"])
def test_a_revision_is_a_whole_commit(project: Workspace, revision: str) -> None:
    with pytest.raises(ParamsError, match=r"^--revision: must be a commit, 40 hex digits"):
        add_model(project.root, "bolt", "amazon/chronos-bolt-tiny", revision=revision)


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("/absent/folder", "/absent/folder: no such folder; check the path"),
        ("./absent", "./absent: no such folder; check the path"),  # has the form of an id
        ("no/such/folder", "no such folder, and no id on the hub"),
    ],
)
def test_neither_a_folder_nor_an_id(project: Workspace, source: str, message: str) -> None:
    with pytest.raises(FlowError, match=message):
        add_model(project.root, "bolt", source)

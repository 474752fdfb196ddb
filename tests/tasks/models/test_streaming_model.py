"""A model folder pruned tensor by tensor is the one that `with_blocks` and `save` would make."""

import signal
from functools import partial
from pathlib import Path

import pytest
import torch

from tasks.errors import CheckpointError, MaskError
from tasks.models import streaming
from tasks.models.checkpoint import WEIGHTS
from tasks.models.native import NativeModel
from tasks.models.registry import load_model
from tasks.models.streaming import prune_model
from tasks.models.sublayers import split_blocks
from tests.tasks.models.language_models import KEEPS, save, until_killed
from tests.tasks.models.sharding import shard
from tests.tiny import CONTEXT, tiny_model, tiny_windows


def assert_same_model(folder: Path, expected: NativeModel) -> None:
    """The folder's model has the config and the weights, and forecasts the same."""
    found = load_model(folder)
    assert found.config.model_dump(mode="json") == expected.config.model_dump(mode="json")
    state = expected.state_dict()
    assert list(found.state_dict()) == list(state)
    assert all(torch.equal(tensor, state[name]) for name, tensor in found.state_dict().items())
    context = tiny_windows()[:, :CONTEXT]
    with torch.no_grad():
        mean = found.forecast(context, 20).mean
        assert torch.equal(mean, expected.eval().forecast(context, 20).mean)


@pytest.mark.parametrize("keep", KEEPS)
@pytest.mark.parametrize("backbone", ["gpt2", "llama", "qwen3"])
def test_a_model_folder_becomes_that_of_the_smaller_model(backbone, keep, tmp_path):
    model = tiny_model(backbone, family="llm4ts", head="flatten")
    model.save(tmp_path / "model")
    shard(tmp_path / "model", 5_000)
    pruned = prune_model(tmp_path / "model", tmp_path / "out", keep, max_shard_bytes=6_000)
    assert all(path.parent == tmp_path / "out/backbone" for path in pruned.files)
    assert_same_model(tmp_path / "out", model.with_blocks(keep))
    assert not list((tmp_path / "out").rglob(".*"))


def test_a_pruned_model_folder_knows_its_first_numbers(tmp_path):
    model = tiny_model("qwen3")
    model.save(tmp_path / "model")
    prune_model(tmp_path / "model", tmp_path / "one", (0, 2, 3))
    prune_model(tmp_path / "one", tmp_path / "two", (1, 2))
    assert load_model(tmp_path / "two").kept == (2, 3)
    assert_same_model(tmp_path / "two", model.with_blocks([2, 3]))


@pytest.mark.parametrize("last", [WEIGHTS, "config.json"])
def test_a_model_folder_half_written_is_finished(last, tmp_path, monkeypatch):
    model, out = tiny_model("llama"), tmp_path / "out"
    model.save(tmp_path / "model")
    work = partial(prune_model, tmp_path / "model", out, (0, 4), max_shard_bytes=6_000)
    assert until_killed(work, 12) == -signal.SIGKILL
    assert list(out.rglob(".*.tmp"))
    with monkeypatch.context() as patch:
        patch.setattr(streaming, "write_atomically" if last == WEIGHTS else "write_config", stop)
        with pytest.raises(InterruptedError):
            work()
    assert len(list((out / "backbone").glob("*.safetensors"))) > 1
    assert not (out / "config.json").exists()
    with pytest.raises(CheckpointError, match="unfinished prune of another checkpoint or other"):
        prune_model(tmp_path / "model", out, (0, 3), max_shard_bytes=6_000)
    work()
    assert_same_model(out, model.with_blocks([0, 4]))
    assert not list(out.rglob(".*"))


def stop(*_: object) -> None:
    raise InterruptedError


def test_an_altered_model_folder_is_refused(tmp_path):
    tiny_model().save(tmp_path / "model")
    path = tmp_path / "model/backbone/model.safetensors"
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)
    with pytest.raises(CheckpointError, match=r"backbone/model.safetensors: .*sha256"):
        prune_model(tmp_path / "model", tmp_path / "out", (0,))
    assert not (tmp_path / "out").exists()


def test_a_model_of_sublayers_is_refused(tmp_path):
    split_blocks(tiny_model()).save(tmp_path / "model")
    with pytest.raises(MaskError, match="its blocks are taken apart into sublayers; name a model"):
        prune_model(tmp_path / "model", tmp_path / "out", (0,))


def test_a_checkpoint_is_no_model_folder(tmp_path):
    save("gpt2", tmp_path / "whole")
    with pytest.raises(CheckpointError, match=r"whole: is a checkpoint, not a model folder; name"):
        prune_model(tmp_path / "whole", tmp_path / "out", (0,))

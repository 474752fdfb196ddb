"""Checkpoints as their own libraries write them: config.json and safetensors, also in shards."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import httpx2  # what huggingface_hub speaks
import torch
from huggingface_hub import HfApi, snapshot_download
from huggingface_hub.errors import (
    GatedRepoError,
    HFValidationError,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)
from safetensors import SafetensorError, safe_open
from torch import Tensor

from tasks.errors import CheckpointError
from tasks.models.zoo.family import Dtype, ZooModel
from tasks.sections.models import HubStart

# the README says the licence
CHECKPOINT_FILES = ["config.json", "*.safetensors", "*.safetensors.index.json", "README.md"]
INDEX = "model.safetensors.index.json"
HUB_SECONDS = 10.0


def fetch(start: HubStart) -> Path:
    """The folder of a checkpoint on the hub at its pinned revision, from the cache or downloaded.

    Of a download that was stopped whole files are not downloaded again. Where the hub does not
    answer, or has the model no more, a whole copy in the cache will do.

    Raises:
        CheckpointError: the hub did not give it, for example without a network.
    """
    problem: Exception | None = None
    try:
        commit_of(start.id, start.revision)  # snapshot_download would try for half a minute
    except CheckpointError as error:
        problem = error
    try:
        folder = snapshot_download(
            start.id,
            revision=start.revision,
            allow_patterns=CHECKPOINT_FILES,
            local_files_only=problem is not None,
        )
    except (httpx2.HTTPError, OSError) as error:
        raise problem or _not_given(start.id, start.revision, error) from error
    return Path(folder)


def commit_of(name: str, revision: str | None = None) -> str:
    """The commit that a revision of a model on the hub is; None: that of its main branch.

    Raises:
        CheckpointError: the hub did not answer, or has no such model or revision.
    """
    try:
        found = HfApi().model_info(name, revision=revision, timeout=HUB_SECONDS).sha
    except (httpx2.HTTPError, HFValidationError, OSError) as error:
        raise _not_given(name, revision, error) from error
    assert found is not None
    return found


def _not_given(name: str, revision: str | None, error: Exception) -> CheckpointError:
    """What a person is told when the hub did not give a model."""
    if isinstance(error, GatedRepoError):
        reason = "is gated: ask for access on its page, then run `hf auth login`"
    elif isinstance(error, RepositoryNotFoundError):
        reason = "is not on the hub, or is private: check the id, or run `hf auth login`"
    elif isinstance(error, RevisionNotFoundError):
        reason = f"has no revision {revision} on the hub: take one that its page lists"
    else:
        reason = (
            f"cannot be had from the hub ({type(error).__name__}): go online once, or name a local "
            "folder: start: {kind: folder, path: DIR}"
        )
    return CheckpointError(f"{name} {reason}")


def checkpoint_config(folder: Path) -> dict[str, Any]:
    """config.json of a checkpoint. Raises CheckpointError."""
    path = folder / "config.json"
    if not path.is_file():
        raise CheckpointError(f"{folder}: no config.json there; name a checkpoint's folder")
    data = _json(path)
    if not isinstance(data, dict):
        raise CheckpointError(f"{path}: must hold an object; got {type(data).__name__}")
    return data


def _json(path: Path) -> object:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, OSError) as error:
        raise CheckpointError(
            f"{path}: not valid JSON ({error}); fetch the checkpoint anew"
        ) from error


def checkpoint_files(folder: Path) -> list[Path]:
    """The safetensors files of a checkpoint, its shards in order of name.

    Raises:
        CheckpointError: there is none, or the index names a file that is missing.
    """
    index = folder / INDEX
    if not index.is_file():
        files = sorted(folder.glob("*.safetensors"))
        if not files:
            raise CheckpointError(
                f"{folder}: holds no *.safetensors; other formats can run code when loaded and are "
                "refused; convert the checkpoint with save_pretrained"
            )
        return files
    data = _json(index)
    names = data.get("weight_map") if isinstance(data, dict) else None
    if not isinstance(names, dict) or not names:
        raise CheckpointError(f"{index}: names no shards (weight_map); fetch the checkpoint anew")
    shards = sorted({str(name) for name in names.values()})
    for shard in shards:
        if Path(shard).name != shard or not (folder / shard).is_file():
            raise CheckpointError(f"{index}: names {shard!r}, which is not in that folder")
    return [folder / shard for shard in shards]


def checkpoint_tensors(folder: Path) -> dict[str, Tensor]:
    """All tensors of a checkpoint, in its own precision.

    Raises:
        CheckpointError: missing, malformed, or holds a weight that is not finite.
    """
    tensors: dict[str, Tensor] = {}
    for path in checkpoint_files(folder):
        try:
            with safe_open(path, framework="pt") as file:
                for name in file.keys():  # noqa: SIM118
                    tensors[name] = file.get_tensor(name)
        except (SafetensorError, OSError) as error:
            raise CheckpointError(
                f"{path}: not a whole safetensors file ({error}); fetch it anew"
            ) from error
    for name, tensor in tensors.items():
        if tensor.is_floating_point() and not bool(torch.isfinite(tensor).all()):
            raise CheckpointError(f"{folder}: tensor {name} holds a weight that is not finite")
    return tensors


def dtype_of(tensors: Mapping[str, Tensor]) -> Dtype:
    """The precision of most of a checkpoint's weights."""
    sizes: dict[Dtype, int] = {"float32": 0, "bfloat16": 0, "float16": 0}
    for tensor in tensors.values():
        name = str(tensor.dtype).removeprefix("torch.")
        if name in sizes:
            sizes[name] += tensor.numel()
    return max(sizes, key=lambda name: sizes[name])


def load_upstream(model: ZooModel, tensors: Mapping[str, Tensor], folder: Path) -> None:
    """Takes a checkpoint's tensors into the backbone, strictly.

    Raises:
        CheckpointError: names the tensors that are missing or unexpected, of another shape, or
            different where the model has one weight under several names.
    """
    given = model.tensors_to_load(tensors)
    for tied, first in model.tied_names().items():
        _tie(given, tied.removeprefix("backbone."), first.removeprefix("backbone."), folder)
    try:
        model.backbone.load_state_dict(given, strict=True)
    except RuntimeError as error:
        reason = " ".join(str(error).split())
        raise CheckpointError(
            f"{folder}: not a whole {model.config.family} checkpoint: {reason[:400]}"
        ) from error


def _tie(given: dict[str, Tensor], tied: str, first: str, folder: Path) -> None:
    """Fills in the one of two names that is not given."""
    if tied in given and not torch.equal(given.setdefault(first, given[tied]), given[tied]):
        raise CheckpointError(
            f"{folder}: {tied} and {first} are one weight of this family but differ; "
            "fetch the checkpoint anew"
        )
    if first in given:
        given.setdefault(tied, given[first])

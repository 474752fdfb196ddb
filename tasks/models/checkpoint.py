"""Model folders: config.json, model.safetensors, backbone/ (which transformers can load).

config.json carries the sha256 of every weights file; a mismatch or a weight that is not finite
is refused, because safetensors checks structure, not content.
"""

import json
from collections.abc import Iterable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Shaped
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from tasks.artifacts.files import sha256_of, write_atomically, write_text
from tasks.errors import CheckpointError

WEIGHTS = "model.safetensors"
BACKBONE = "backbone"
METADATA = {"format": "pt"}


def write_folder(
    folder: Path,
    state: Mapping[str, Tensor],
    *,
    config: Mapping[str, Any],
    backbone_config: Mapping[str, Any],
) -> None:
    """Writes a model folder; every file atomically, config.json last.

    Args:
        folder: made where it is missing.
        state: all tensors; those named `backbone.*` go to backbone/ without that prefix.
        config: what our own loader needs.
        backbone_config: what transformers' loader needs.
    """
    own: dict[str, Tensor] = {}
    backbone: dict[str, Tensor] = {}
    for key, tensor in state.items():
        part, _, rest = key.partition(".")
        target = backbone if part == BACKBONE else own
        target[rest if part == BACKBONE else key] = tensor.detach().cpu().contiguous()
    files = {WEIGHTS: own, f"{BACKBONE}/{WEIGHTS}": backbone}
    for name, tensors in files.items():
        write_atomically(folder / name, partial(save_file, tensors, metadata=METADATA))
    write_text(folder / BACKBONE / "config.json", json.dumps(backbone_config, indent=1) + "\n")
    write_config(folder, config, files)


def write_config(folder: Path, config: Mapping[str, Any], files: Iterable[str]) -> None:
    """Writes config.json with the sha256 of the weights files, whose names are below `folder`."""
    data = {"config": config, "sha256": {name: sha256_of(folder / name) for name in files}}
    write_text(folder / "config.json", json.dumps(data, indent=1) + "\n")


def folder_config(folder: Path) -> dict[str, Any]:
    """The config of a folder made by `write_folder`. Raises CheckpointError."""
    return read_config(folder)[0]


def read_folder(folder: Path) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """The config and all tensors of a folder made by `write_folder`.

    Raises:
        CheckpointError: a file is missing, malformed or altered.
    """
    config, hashes = read_config(folder)
    tensors = load_weights(folder / WEIGHTS, hashes.get(WEIGHTS))
    for name in backbone_files(hashes):
        backbone = load_weights(folder / name, hashes.get(name))
        tensors |= {f"{BACKBONE}.{key}": tensor for key, tensor in backbone.items()}
    return config, tensors


def read_config(folder: Path) -> tuple[dict[str, Any], dict[str, str]]:
    """The config of a model folder and the sha256 of its weights files by name.

    Raises:
        CheckpointError: missing or malformed.
    """
    path = folder / "config.json"
    if not folder.is_dir():
        raise CheckpointError(f"{folder}: no such folder; check the path, or run what makes it")
    if not path.is_file():
        raise CheckpointError(f"{folder}: holds no config.json; run the stage that makes it")
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
        if "config" not in data and "model_type" in data:
            raise CheckpointError(
                f"{folder}: is a checkpoint, not a model folder; name a folder of `models/full` "
                "or `models/pruned`, or bring it in with `fewlayers add-model`"
            )
        return dict(data["config"]), dict(data["sha256"])
    except (ValueError, KeyError, TypeError) as error:
        raise CheckpointError(
            f"{path}: not a model config ({type(error).__name__}: {error}); run its stage again"
        ) from error


def backbone_files(hashes: Mapping[str, str]) -> list[str]:
    """Names of the backbone's weights in a model folder: one file, or shards."""
    found = sorted(name for name in hashes if name.startswith(f"{BACKBONE}/"))
    return found or [f"{BACKBONE}/{WEIGHTS}"]


def load_weights(path: Path, expected_sha256: str | None) -> dict[str, Tensor]:
    """The tensors of a safetensors file, checked for content.

    Raises:
        CheckpointError: missing, malformed, altered (sha256), or holds a NaN or infinite weight.
    """
    if not path.is_file():
        raise CheckpointError(f"{path}: missing; run its stage again")
    try:
        tensors = load_file(path)
    except (SafetensorError, OSError) as error:
        raise CheckpointError(
            f"{path}: not a whole safetensors file ({error}); run its stage again or fetch it anew"
        ) from error
    check_hash(path, expected_sha256)
    for name, tensor in tensors.items():
        check_finite(path, name, tensor)
    return tensors


def check_hash(path: Path, expected_sha256: str | None) -> None:
    """Raises CheckpointError unless the file's sha256 is the expected one."""
    if sha256_of(path) != expected_sha256:
        raise CheckpointError(
            f"{path}: its sha256 is not the one in config.json ({str(expected_sha256)[:12]}...), "
            "so the weights were altered; run its stage again or fetch it anew"
        )


def check_finite(path: Path, name: str, tensor: Shaped[Tensor, "..."]) -> None:
    """Raises CheckpointError where a tensor of a file holds a NaN or an infinite weight."""
    if not tensor.is_floating_point() or not tensor.numel():
        return
    ends = torch.stack(torch.aminmax(tensor))  # NaN if there is one; a flag per value takes longer
    if not torch.isfinite(ends).all():
        raise CheckpointError(f"{path}: tensor {name} holds a weight that is not finite")

"""Model folders: config.json, model.safetensors, backbone/ (which transformers can load).

config.json carries the sha256 of every weights file; a mismatch or a weight that is not finite
is refused, because safetensors checks structure, not content.
"""

import hashlib
import json
from functools import partial
from pathlib import Path

import torch
from pydantic import ValidationError
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from tasks.artifacts import write_atomically, write_text
from tasks.errors import CheckpointError
from tasks.models.native import NativeConfig, NativeModel

WEIGHTS = "model.safetensors"
BACKBONE = "backbone"
METADATA = {"format": "pt"}


def sha256_of(path: Path) -> str:
    """Hex sha256 of a file's bytes."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def save_native(model: NativeModel, folder: Path) -> None:
    """Writes a model folder; every file atomically, config.json last."""
    own: dict[str, Tensor] = {}
    backbone: dict[str, Tensor] = {}
    for key, tensor in model.state_dict().items():
        part, _, rest = key.partition(".")
        target = backbone if part == BACKBONE else own
        target[rest if part == BACKBONE else key] = tensor.detach().cpu().contiguous()
    files = {WEIGHTS: own, f"{BACKBONE}/{WEIGHTS}": backbone}
    for name, tensors in files.items():
        write_atomically(folder / name, partial(save_file, tensors, metadata=METADATA))
    config = model.backbone.config.to_dict() | {"architectures": [type(model.backbone).__name__]}
    write_text(folder / BACKBONE / "config.json", json.dumps(config, indent=1) + "\n")
    data = {
        "config": model.config.model_dump(mode="json"),
        "sha256": {name: sha256_of(folder / name) for name in files},
    }
    write_text(folder / "config.json", json.dumps(data, indent=1) + "\n")


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
    if expected_sha256 is not None and sha256_of(path) != expected_sha256:
        raise CheckpointError(
            f"{path}: its sha256 is not the one in config.json ({expected_sha256[:12]}...), so the "
            "weights were altered; run its stage again or fetch it anew"
        )
    for name, tensor in tensors.items():
        if tensor.is_floating_point() and not bool(torch.isfinite(tensor).all()):
            raise CheckpointError(f"{path}: tensor {name} holds a weight that is not finite")
    return tensors


def load_model(folder: Path) -> NativeModel:
    """The model in a folder written by `save_native`, in eval mode.

    Raises:
        CheckpointError: a file is missing, malformed, altered or does not fit config.json.
    """
    path = folder / "config.json"
    if not path.is_file():
        raise CheckpointError(f"{folder}: holds no config.json; run the stage that makes it")
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
        config = NativeConfig.model_validate(data["config"])
        hashes = dict(data["sha256"])
    except (ValueError, KeyError, TypeError, ValidationError) as error:
        reason = " ".join(str(error).split())
        raise CheckpointError(
            f"{path}: not a model config ({reason}); run its stage again"
        ) from error
    tensors = load_weights(folder / WEIGHTS, hashes.get(WEIGHTS))
    name = f"{BACKBONE}/{WEIGHTS}"
    backbone = load_weights(folder / name, hashes.get(name))
    tensors |= {f"{BACKBONE}.{key}": tensor for key, tensor in backbone.items()}
    with torch.random.fork_rng(devices=[]):
        model = NativeModel(config)
    try:
        model.load_state_dict(tensors, strict=True)
    except RuntimeError as error:
        reason = " ".join(str(error).split())
        raise CheckpointError(f"{folder}: weights do not fit config.json: {reason}") from error
    return model.eval()

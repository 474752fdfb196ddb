"""The first weights of a model entry: random, another entry's, or a transformers checkpoint."""

from pathlib import Path
from typing import Any

import torch
from huggingface_hub import snapshot_download
from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError
from safetensors import SafetensorError
from transformers import PreTrainedModel

from tasks.artifacts.files import read_json, sha256_of
from tasks.errors import CheckpointError
from tasks.models.backbones import MODELS, STACKS, BackboneName, backbone_config, config_data
from tasks.models.native import NativeConfig, NativeModel
from tasks.models.registry import load_model
from tasks.sections.data import Windows
from tasks.sections.models import FolderStart, HubStart, ModelEntry, PretrainedStart, Scale

CHECKPOINT_FILES = ["config.json", "*.safetensors", "*.safetensors.index.json"]


def build_model(
    entry: ModelEntry, scale: Scale, windows: Windows, *, seed: int, pretrained: Path
) -> tuple[NativeModel, dict[str, str]]:
    """The model of an entry with its first weights, and the sha256 of the files they came from.

    Args:
        entry: from params.yaml.
        scale: the entry's scale.
        windows: context and horizon.
        seed: of the random weights.
        pretrained: folder with the models pretrained on a mix, by name.

    Raises:
        CheckpointError: the checkpoint is missing, malformed or does not fit the scale.
    """
    if isinstance(entry.start, PretrainedStart):
        folder = pretrained / entry.start.model
        model = load_model(folder)
        return model, {"model.safetensors": sha256_of(folder / "model.safetensors")}
    torch.manual_seed(seed)
    if isinstance(entry.start, FolderStart):
        return _from_checkpoint(entry, scale, windows, Path(entry.start.path), entry.start.path)
    if isinstance(entry.start, HubStart):
        name = f"{entry.start.id}@{entry.start.revision[:8]}"
        return _from_checkpoint(entry, scale, windows, _fetch(entry.start), name)
    config = _native_config(entry, scale, windows, "random initialisation")
    data = backbone_config(config.backbone, scale, config.num_tokens)
    return NativeModel(config.model_copy(update={"backbone_config": data})), {}


def _native_config(entry: ModelEntry, scale: Scale, windows: Windows, origin: str) -> NativeConfig:
    return NativeConfig(
        family=entry.family,
        backbone=entry.backbone or scale.backbone,
        backbone_config={},
        head=entry.head,
        context=windows.context,
        horizon=windows.horizon,
        patch=entry.patch,
        stride=entry.stride or entry.patch,
        kept=tuple(range(scale.blocks)),
        origin=origin,
    )


def _fetch(start: HubStart) -> Path:
    try:
        folder = snapshot_download(
            start.id, revision=start.revision, allow_patterns=CHECKPOINT_FILES
        )
    except (HfHubHTTPError, LocalEntryNotFoundError, HFValidationError, OSError) as error:
        raise CheckpointError(
            f"the hub did not give {start.id} at revision {start.revision[:8]} "
            f"({type(error).__name__}); go online once, or name a local folder: "
            "start: {kind: folder, path: DIR}"
        ) from error
    return Path(folder)


def _from_checkpoint(
    entry: ModelEntry, scale: Scale, windows: Windows, folder: Path, origin: str
) -> tuple[NativeModel, dict[str, str]]:
    config = _native_config(entry, scale, windows, origin)
    backbone = _load_backbone(config.backbone, folder)
    found = (backbone.config.hidden_size, backbone.config.num_hidden_layers)
    if found[0] != scale.width or found[1] < scale.blocks:
        raise CheckpointError(
            f"{folder}: width {found[0]} and {found[1]} blocks do not fit scale {entry.scale!r} "
            f"(width {scale.width}, the first {scale.blocks} blocks); choose the fitting scale"
        )
    whole = config.model_copy(
        update={"backbone_config": config_data(backbone.config), "kept": tuple(range(found[1]))}
    )
    model = NativeModel(whole)
    model.backbone.load_state_dict(backbone.state_dict(), strict=True)
    first = range(scale.blocks)
    hashes = {path.name: sha256_of(path) for path in sorted(folder.glob("*.safetensors"))}
    return (model if len(first) == found[1] else model.with_blocks(first)), hashes


def _load_backbone(backbone: BackboneName, folder: Path) -> PreTrainedModel:
    if not (folder / "config.json").is_file():
        raise CheckpointError(
            f"{folder}: no config.json there; name a transformers checkpoint folder in `start`"
        )
    if not any(folder.glob("*.safetensors")):
        raise CheckpointError(
            f"{folder}: holds no *.safetensors; other formats can run code when loaded and are "
            "refused; convert the checkpoint with save_pretrained"
        )
    data: Any = read_json(folder / "config.json")
    kind = data.get("model_type") if isinstance(data, dict) else None
    if kind != backbone:
        raise CheckpointError(
            f"{folder}: holds a {kind!r} model, the entry's backbone is {backbone!r}; "
            f"backbones: {', '.join(STACKS)}"
        )
    try:
        loaded: Any = MODELS[backbone].from_pretrained(
            folder,
            local_files_only=True,
            use_safetensors=True,
            trust_remote_code=False,
            output_loading_info=True,
            dtype=torch.float32,
        )
    except (OSError, ValueError, RuntimeError, SafetensorError) as error:
        raise CheckpointError(f"{folder}: not loadable: {' '.join(str(error).split())}") from error
    model, info = loaded
    missing = sorted(info["missing_keys"]) + [str(k) for k in info["mismatched_keys"]]
    extra = sorted(key for key in info["unexpected_keys"] if not key.startswith("lm_head"))
    if missing or extra:
        raise CheckpointError(
            f"{folder}: not a whole {backbone} checkpoint; missing {missing[:3]}, "
            f"unexpected {extra[:3]}"
        )
    assert isinstance(model, PreTrainedModel)
    return model

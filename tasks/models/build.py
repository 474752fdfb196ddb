"""The first weights of a model entry: random, another entry's, or a transformers checkpoint."""

from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from transformers import PreTrainedModel

from tasks.artifacts.files import sha256_of
from tasks.errors import CheckpointError
from tasks.models.backbones import MODELS, STACKS, BackboneName, backbone_config, config_data
from tasks.models.base import ForecastModel
from tasks.models.families import zoo_class
from tasks.models.native import NativeConfig, NativeModel
from tasks.models.registry import load_model
from tasks.models.upstream import (
    checkpoint_config,
    checkpoint_files,
    checkpoint_tensors,
    dtype_of,
    fetch,
    load_upstream,
)
from tasks.models.zoo.family import ZooModel
from tasks.sections.data import Windows
from tasks.sections.models import FolderStart, HubStart, ModelEntry, PretrainedStart, Scale
from tasks.sections.zoo import ZooEntry


def build_model(
    entry: ModelEntry | ZooEntry,
    scale: Scale | None,
    windows: Windows,
    *,
    seed: int,
    pretrained: Path,
) -> tuple[ForecastModel, dict[str, str]]:
    """The model of an entry with its first weights, and the sha256 of the files they came from.

    Args:
        entry: from params.yaml.
        scale: the entry's scale; None for a published family.
        windows: context and horizon.
        seed: of the random weights.
        pretrained: folder with the models pretrained on a mix, by name.

    Raises:
        CheckpointError: the checkpoint is missing, malformed or does not fit the scale.
        ParamsError: an option or the shape does not fit the family.
    """
    if isinstance(entry.start, PretrainedStart):
        folder = pretrained / entry.start.model
        model = load_model(folder)
        return model, {"model.safetensors": sha256_of(folder / "model.safetensors")}
    torch.manual_seed(seed)
    if isinstance(entry, ZooEntry):
        return _published(entry, windows)
    assert scale is not None
    if isinstance(entry.start, FolderStart):
        return _from_checkpoint(entry, scale, windows, Path(entry.start.path), entry.start.path)
    if isinstance(entry.start, HubStart):
        name = f"{entry.start.id}@{entry.start.revision[:8]}"
        return _from_checkpoint(entry, scale, windows, fetch(entry.start), name)
    config = _native_config(entry, scale, windows, "random initialisation")
    data = backbone_config(config.backbone, scale, config.num_tokens)
    return NativeModel(config.model_copy(update={"backbone_config": data})), {}


def _published(entry: ZooEntry, windows: Windows) -> tuple[ZooModel, dict[str, str]]:
    kind = zoo_class(entry.family)
    if isinstance(entry.start, FolderStart):
        folder, origin = Path(entry.start.path), entry.start.path
    elif isinstance(entry.start, HubStart):
        folder, origin = fetch(entry.start), f"{entry.start.id}@{entry.start.revision[:8]}"
    else:
        model = kind.create(
            entry.shape,
            windows,
            family=entry.family,
            origin="random initialisation",
            options=entry.options,
        )
        return model, {}
    data, tensors = checkpoint_config(folder), checkpoint_tensors(folder)
    model = kind.create(
        data,
        windows,
        family=entry.family,
        origin=origin,
        options=entry.options,
        dtype=dtype_of(tensors),
    )
    load_upstream(model, tensors, folder)
    return model, {path.name: sha256_of(path) for path in checkpoint_files(folder)}


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
    kind = checkpoint_config(folder).get("model_type")
    checkpoint_files(folder)
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

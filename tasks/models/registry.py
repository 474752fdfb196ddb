"""Loads a model folder as the family that its config names."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from pydantic import ValidationError

from tasks.errors import CheckpointError, MaskError
from tasks.models.base import ForecastModel
from tasks.models.checkpoint import read_folder
from tasks.models.families import family_class
from tasks.models.native import NativeModel
from tasks.models.sublayers import SublayerModel, split_blocks
from tasks.models.unfilled import Unfilled, move_unfilled
from tasks.sections.search import Granularity


def load_model(folder: Path, device: torch.device | None = None) -> ForecastModel:
    """The model in a folder that `save` wrote, in eval mode, on the device (None: the CPU).

    Raises:
        CheckpointError: a file is missing, malformed, altered or does not fit config.json.
        ParamsError: its family needs a package that is not installed.
    """
    data, tensors = read_folder(folder)
    is_split = "granularity" in data
    kind = SublayerModel if is_split else family_class(str(data.get("family")))
    config = validated(kind, data, folder)
    with Unfilled():
        model = kind(config)
    move_unfilled(model, device or torch.device("cpu"))
    try:
        model.load_stored(tensors)
    except RuntimeError as error:
        reason = " ".join(str(error).split())
        raise CheckpointError(f"{folder}: weights do not fit config.json: {reason}") from error
    return model.eval()


def validated(kind: type[ForecastModel], data: Mapping[str, Any], folder: Path) -> Any:
    """The config of a model folder as the class says. Raises CheckpointError."""
    try:
        return kind.CONFIG.model_validate(data)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        place = ".".join(str(part) for part in first["loc"])
        raise CheckpointError(
            f"{folder / 'config.json'}: not a model config: {place}: {first['msg']}; "
            "run its stage again"
        ) from error


def load_in_units(
    folder: Path, granularity: Granularity, device: torch.device | None = None
) -> ForecastModel:
    """The model in a folder, with blocks or sublayers as what is scored, searched and dropped.

    Raises:
        CheckpointError: as `load_model`.
        MaskError: sublayers are wanted of a model that cannot drop them.
    """
    model = load_model(folder, device)
    if granularity == "block":
        return model
    if not isinstance(model, NativeModel):
        raise MaskError(
            f"granularity: sublayer needs blocks whose attention and MLP can be dropped apart; "
            f"those of {model.label} cannot; set granularity: block"
        )
    return split_blocks(model)

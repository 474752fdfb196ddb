"""Loads a model folder as the family that its config names."""

from pathlib import Path

import torch
from pydantic import ValidationError

from tasks.errors import CheckpointError
from tasks.models.checkpoint import read_folder
from tasks.models.native import NativeModel
from tasks.models.sublayers import SublayerModel, split_blocks
from tasks.sections.search import Granularity


def load_model(folder: Path) -> NativeModel:
    """The model in a folder that `save` wrote, in eval mode.

    Raises:
        CheckpointError: a file is missing, malformed, altered or does not fit config.json.
    """
    data, tensors = read_folder(folder)
    kind = SublayerModel if "granularity" in data else NativeModel
    try:
        config = kind.CONFIG.model_validate(data)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        place = ".".join(str(part) for part in first["loc"])
        raise CheckpointError(
            f"{folder / 'config.json'}: not a model config: {place}: {first['msg']}; "
            "run its stage again"
        ) from error
    with torch.random.fork_rng(devices=[]):
        model = kind(config)
    try:
        model.load_stored(tensors)
    except RuntimeError as error:
        reason = " ".join(str(error).split())
        raise CheckpointError(f"{folder}: weights do not fit config.json: {reason}") from error
    return model.eval()


def load_in_units(folder: Path, granularity: Granularity) -> NativeModel:
    """The model in a folder, with blocks or sublayers as what is scored, searched and dropped.

    Raises:
        CheckpointError: as `load_model`.
        MaskError: sublayers are wanted of a model that cannot drop them.
    """
    model = load_model(folder)
    return split_blocks(model) if granularity == "sublayer" else model

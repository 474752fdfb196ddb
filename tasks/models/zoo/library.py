"""Configs and modules of transformers from data that a person wrote, or a checkpoint holds."""

from collections.abc import Mapping
from typing import Any

from huggingface_hub.errors import StrictDataclassError
from torch import nn
from transformers import PretrainedConfig, PreTrainedModel

from tasks.errors import CheckpointError, ParamsError

CHANGING = ("transformers_version", "_name_or_path")  # from one release or folder to the next
REFUSALS = (StrictDataclassError, TypeError, ValueError, KeyError, ZeroDivisionError)


def complete_config(
    kind: type[PretrainedConfig], data: Mapping[str, Any], family: str
) -> dict[str, Any]:
    """The library's config with its defaults filled in, as config.json of a checkpoint.

    Args:
        kind: the library's class of configs.
        data: a checkpoint's config, or a `shape` of params.yaml.
        family: named where it is refused.

    Raises:
        ParamsError: a value of the wrong type, or sizes that do not fit.
    """
    whole: dict[str, Any] = _config(kind, data, family).to_dict()
    return {name: value for name, value in whole.items() if name not in CHANGING}


def family_config(
    kind: type[PretrainedConfig], data: Mapping[str, Any], architecture: type[PreTrainedModel]
) -> dict[str, Any]:
    """`complete_config` for a family that is one class of the library.

    Args:
        kind: the library's class of configs.
        data: a checkpoint's config, which names its model type, or a `shape` of params.yaml.
        architecture: the class that `from_pretrained` is called on.

    Raises:
        CheckpointError: the checkpoint is one of another family.
        ParamsError: a field that there is not, or as `complete_config`.
    """
    given = data.get("model_type")
    if given is None:
        # the library would take a misspelt field and build its default size
        known = {*kind().to_dict(), *kind.attribute_map}
        for name in sorted(set(data) - known):
            raise ParamsError(
                f"shape: {kind.__name__} of transformers has no field {name!r}; take its names"
            )
    elif given != kind.model_type:
        raise CheckpointError(
            f"config.json: model_type must be {kind.model_type!r}, got {given!r}; name the "
            "checkpoint's own family"
        )
    return complete_config(kind, data, kind.model_type) | {"architectures": [architecture.__name__]}


def build_model(
    model: type[PreTrainedModel], kind: type[PretrainedConfig], data: Mapping[str, Any]
) -> nn.Module:
    """The library's module with random weights. Raises ParamsError where a size does not fit."""
    try:
        built: nn.Module = model(_config(kind, data, kind.model_type))
    except REFUSALS as error:
        raise _misfit(kind, error, kind.model_type) from error
    return built


def _config(kind: type[PretrainedConfig], data: Mapping[str, Any], family: str) -> PretrainedConfig:
    try:
        return kind.from_dict(dict(data))
    except REFUSALS as error:
        raise _misfit(kind, error, family) from error


def _misfit(kind: type[PretrainedConfig], error: Exception, family: str) -> ParamsError:
    reason = " ".join(str(error).split())
    return ParamsError(
        f"{family}: transformers' {kind.__name__} refuses this config or shape: {reason}"
    )

"""Configs of transformers as data: what a shape leaves out is filled in, what is wrong refused."""

from collections.abc import Mapping
from typing import Any

from huggingface_hub.errors import StrictDataclassError
from transformers import PretrainedConfig

from tasks.errors import ParamsError

CHANGING = ("transformers_version", "_name_or_path")  # from one release or folder to the next


def complete_config(
    kind: type[PretrainedConfig], data: Mapping[str, Any], family: str
) -> dict[str, Any]:
    """A config of transformers with its defaults filled in, as config.json of a checkpoint.

    Raises:
        ParamsError: transformers refuses the config; names it and the family.
    """
    try:
        whole: dict[str, Any] = kind.from_dict(dict(data)).to_dict()
    except (StrictDataclassError, TypeError, ValueError, ZeroDivisionError) as error:
        reason = " ".join(str(error).split())
        raise ParamsError(
            f"{family}: transformers' {kind.__name__} refuses this config or shape: {reason}"
        ) from error
    return {name: value for name, value in whole.items() if name not in CHANGING}

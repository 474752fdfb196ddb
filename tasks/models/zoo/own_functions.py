"""Functions of a user's own, named in params.yaml and written in `tasks/custom/`.

They are code of the project like any other: a change of a file there reruns the stages that load
models (`tasks.pipeline.code`). No other code is run, least of all any in a checkpoint's folder.
"""

import importlib
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import tasks.custom
from tasks.errors import ParamsError

NAME = re.compile(r"(?P<module>[A-Za-z_]\w*(\.[A-Za-z_]\w*)*):(?P<function>[A-Za-z_]\w*)")


def own_function(name: str, option: str) -> Callable[..., Any]:
    """The function `module:function` of `tasks/custom/`.

    Args:
        name: as in params.yaml; `mine:forecast` is in `tasks/custom/mine.py`.
        option: under which it is named, for messages.

    Raises:
        ParamsError: no such file or function, or it cannot be imported.
    """
    where = f"options.{option}"
    match = NAME.fullmatch(name)
    if match is None:
        raise ParamsError(
            f"{where} must be module:function, in tasks/custom/module.py; got {name!r}"
        )
    shown = f"tasks/custom/{match['module'].replace('.', '/')}.py"
    if not _is_there(match["module"]):
        raise ParamsError(
            f"{where}: there is no file {shown}; write the function there or correct the name"
        )
    try:
        module = importlib.import_module(f"{tasks.custom.__name__}.{match['module']}")
    except Exception as error:
        reason = " ".join(f"{type(error).__name__}: {error}".split())
        raise ParamsError(f"{where}: {shown} cannot be imported: {reason}") from error
    function = getattr(module, match["function"], None)
    if not callable(function):
        raise ParamsError(
            f"{where}: {shown} has no function {match['function']!r}; write it there or correct "
            "the name"
        )
    found: Callable[..., Any] = function
    return found


def _is_there(module: str) -> bool:
    files = (Path(folder, *module.split(".")) for folder in tasks.custom.__path__)
    return any(file.with_suffix(".py").is_file() for file in files)

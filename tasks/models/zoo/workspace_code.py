"""Functions of a user's own, named in params.yaml and imported from the workspace alone.

A file in the folder of a checkpoint is refused, however it is named: a checkpoint runs no code.
"""

import importlib
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tasks.errors import ParamsError

NAME = re.compile(r"(?P<module>[A-Za-z_]\w*(\.[A-Za-z_]\w*)*):(?P<function>[A-Za-z_]\w*)")


def workspace_function(name: str, option: str) -> Callable[..., Any]:
    """The function `package.module:function` of this workspace.

    Args:
        name: as in params.yaml.
        option: under which it is named, for messages.

    Raises:
        ParamsError: no such file or function, it cannot be imported, or it is not the workspace's.
    """
    where = f"options.{option}"
    match = NAME.fullmatch(name)
    if match is None:
        raise ParamsError(f"{where} must be package.module:function; got {name!r}")
    root = Path.cwd().resolve()
    file = _file_of(match["module"], root, where)
    shown = file.relative_to(root)
    if str(root) not in sys.path:
        sys.path.append(str(root))  # `python -m` does so, the console script does not
    try:
        module = importlib.import_module(match["module"])
    except Exception as error:
        reason = " ".join(f"{type(error).__name__}: {error}".split())
        raise ParamsError(
            f"{where}: {file.relative_to(root)} cannot be imported: {reason}"
        ) from error
    if Path(module.__file__ or "").resolve() != file:
        raise ParamsError(
            f"{where}: {match['module']} is another module, {module.__file__}; rename the file "
            f"{shown}"
        )
    function = getattr(module, match["function"], None)
    if not callable(function):
        raise ParamsError(
            f"{where}: {shown} has no function {match['function']!r}; write it "
            "there or correct the name"
        )
    found: Callable[..., Any] = function
    return found


def _file_of(module: str, root: Path, where: str) -> Path:
    base = root.joinpath(*module.split("."))
    files = [base.with_suffix(".py"), base / "__init__.py"]
    file = next((one for one in files if one.is_file()), None)
    if file is None:
        raise ParamsError(
            f"{where}: the workspace has no file {files[0].relative_to(root)}; write the function "
            "there or correct the name"
        )
    shown, resolved = file.relative_to(root), file.resolve()
    if not resolved.is_relative_to(root):
        raise ParamsError(f"{where}: {shown} is a link out of the workspace; copy the file")
    folders = [root / folder for folder in resolved.relative_to(root).parents]
    for folder in folders[:-1]:  # the last one is the workspace itself
        if any(folder.glob("*.safetensors")) or (folder / "config.json").exists():
            raise ParamsError(
                f"{where}: {shown} lies in a checkpoint's folder ({folder.relative_to(root)}), "
                "whose code is never run; write the function elsewhere in the workspace"
            )
    return resolved

"""Presets: params.yaml with other values laid over it, for a workspace of its own."""

from collections.abc import Callable, Collection
from pathlib import Path
from typing import Any

from tasks.errors import ParamsError
from tasks.params import read_yaml, validate_params
from tasks.sections.run import NOT_LOCAL


def merge(base: dict[str, Any], override: dict[str, Any]) -> dict[str, Any]:
    """A new mapping: `override` laid over `base`, mappings merged key by key.

    What `run` holds is replaced and not merged: a preset says all that its graph covers. Where it
    names models, what others need (corpora, mixes, pretrain, imports) is left out.
    """
    merged = dict(base)
    for key, value in override.items():
        old = merged.get(key)
        if isinstance(old, dict) and isinstance(value, dict):
            merged[key] = _run_of(old, value) if key == "run" else merge(old, value)
        else:
            merged[key] = value
    return merged


def _run_of(base: dict[str, Any], override: dict[str, Any]) -> dict[str, Any]:
    kept = base
    if "models" in override:
        kept = {key: old if key == "datasets" else type(old)() for key, old in base.items()}
    return {**kept, **override}


def load_preset(
    path: Path, preset: str, change: Callable[[dict[str, Any]], None] | None = None
) -> dict[str, Any]:
    """The raw content of params.yaml with one of its presets laid over it, validated.

    `change` alters the content in place before it is validated.

    Raises:
        ParamsError: no such preset, or the result is not valid.
    """
    content = read_yaml(path)
    presets = content.pop("presets", None) or {}
    content.pop("studies", None)
    if preset not in presets:
        raise ParamsError(
            f"{path}: there is no preset {preset!r}; presets: {', '.join(presets) or 'none'}"
        )
    merged = merge(content, presets[preset])
    if change is not None:
        change(merged)
    validate_params(merged, f"{path} with preset {preset}")
    return merged


def only_models(content: dict[str, Any], names: Collection[str], where: str) -> dict[str, Any]:
    """The content of params.yaml with a part of its models, and what those start from.

    Args:
        content: with the section `run`.
        names: of models that it runs.
        where: what names them, for people.

    Raises:
        ParamsError: `run.models` has no such model.
    """
    run = content["run"]
    if unknown := [name for name in names if name not in run["models"]]:
        raise ParamsError(
            f"{where}: run.models has no {unknown[0]!r}; it has {', '.join(run['models'])}"
        )
    models = {name: base for name, base in run["models"].items() if name in names}
    bases = {
        section: {name: of for name, of in run[section].items() if name in models.values()}
        for section in ("pretrain", "imports")
        if section in run
    }
    return content | {"run": run | bases | {"models": models}}


def from_elsewhere(content: dict[str, Any], project: Path) -> dict[str, Any]:
    """The content for a workspace in another folder: checkpoints are found from the project."""
    models = {name: _at(project, entry) for name, entry in content["models"].items()}
    run = dict(content["run"])
    if "imports" in run:
        run["imports"] = {
            name: folder if folder == NOT_LOCAL else str(project.resolve() / folder)
            for name, folder in run["imports"].items()
        }
    return content | {"models": models, "run": run}


def _at(project: Path, entry: dict[str, Any]) -> dict[str, Any]:
    start = entry.get("start")
    if not isinstance(start, dict) or start.get("kind") != "folder":
        return entry
    return entry | {"start": start | {"path": str(project.resolve() / start["path"])}}

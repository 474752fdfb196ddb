"""What is known of the checkpoint that a model's weights come from: hub id, revision, licence."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from tasks.artifacts.training import ParentModel
from tasks.models.upstream import checkpoint_config, fetch
from tasks.sections.models import FolderStart, HubStart

CARD = "README.md"
LICENSE_KEYS = ("license", "license_name", "license_link")
# where huggingface_hub keeps a revision; names hold no `--`
HUB_CACHE = re.compile(r"models--([\w.-]+?)--([\w.-]+)/snapshots/([0-9a-f]{40})$")


def parent_of(start: FolderStart | HubStart, sha256: Mapping[str, str]) -> ParentModel:
    """The parent of a model that starts from a checkpoint.

    Args:
        start: of the entry in params.yaml.
        sha256: of the checkpoint's weights, by file name.

    Raises:
        CheckpointError: the folder holds no config.json, or the hub did not give it.
    """
    if isinstance(start, HubStart):
        return ParentModel(
            id=start.id,
            revision=start.revision,
            license=license_of(fetch(start)),
            sha256=dict(sha256),
        )
    folder = Path(start.path)
    cached = HUB_CACHE.search(folder.resolve().as_posix())
    name, revision = (f"{cached[1]}/{cached[2]}", cached[3]) if cached else (None, None)
    if start.id is not None and start.id != name:
        name, revision = start.id, None
    return ParentModel(id=name, revision=revision, license=license_of(folder), sha256=dict(sha256))


def license_of(folder: Path) -> dict[str, str]:
    """What a checkpoint's model card, else its config.json, says about its licence; often nothing.

    Raises:
        CheckpointError: the folder holds no config.json.
    """
    for source in (_front_matter(folder / CARD), checkpoint_config(folder)):
        found = {key: source[key] for key in LICENSE_KEYS if isinstance(source.get(key), str)}
        if "license" in found:
            return found
    return {}


def _front_matter(path: Path) -> dict[str, Any]:
    """The YAML block at the start of a model card; empty where there is none that can be read."""
    if not path.is_file():
        return {}
    text = path.read_text(encoding="utf-8", errors="replace")
    block = re.match(r"\A---\s*\n(.*?)\n---\s*(\n|\Z)", text, re.DOTALL)
    try:
        content = YAML(typ="safe", pure=True).load(block[1]) if block else None
    except YAMLError:
        return {}
    return content if isinstance(content, dict) else {}

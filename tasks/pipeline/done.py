"""What is done: a marker below `.state/done/` holds a stage's fingerprint, and its outputs stand.

The fingerprint covers all that dvc.yaml lists for the stage: the command, the values of its
parameters, the bytes of its files, the code that it runs, and the fingerprints of the other stages
whose outputs it reads.
"""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path, PurePath
from typing import Any

from tasks.artifacts.files import sha256_of, write_text
from tasks.errors import ArtifactError
from tasks.pipeline.code import checksums, code_files
from tasks.pipeline.graph import Graph, Stage, touch, value_of

CODE_STAGE, CODE = "code", "code/*.sha256"  # a change of one file makes only its readers stale


def fingerprints(root: Path, graph: Graph, params: Mapping[str, Any]) -> dict[str, str]:
    """By stage: hex sha256 over its command, parameters, files and parents.

    Args:
        root: the workspace.
        graph: its stages.
        params: the content of params.yaml.

    Raises:
        ArtifactError: a file that no stage makes is missing.
    """
    made = [out for stage in graph.stages for out in stage.outs]
    own = settings(root, graph, params)
    found: dict[str, str] = {}
    for stage in graph.stages:
        files = {
            dep: _hash_of(root / dep, stage.name)
            for dep in stage.deps
            if not any(touch(dep, out) for out in made)
        }
        parents = {name: found[name] for name in graph.parents[stage.name] if name != CODE_STAGE}
        parts = own[stage.name] | {"files": files, "parents": parents}
        found[stage.name] = hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()
    return found


def settings(root: Path, graph: Graph, params: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """By stage: its command, the values of its parameters, and the checksums of the code it runs.

    Args:
        root: holds tasks/.
        graph: the stages.
        params: the content of params.yaml.
    """
    read = {dep for stage in graph.stages for dep in stage.deps if PurePath(dep).match(CODE)}
    code = {dep: _code_of(root, dep) for dep in read}
    return {
        stage.name: {
            "command": stage.command,
            "params": {key: value_of(params, key) for key in stage.params},
            "code": {dep: code[dep] for dep in stage.deps if dep in code},
        }
        for stage in graph.stages
    }


def _code_of(root: Path, checksum_file: str) -> str:
    """What the stage `code` will write into this file."""
    module = root / "tasks" / f"{PurePath(checksum_file).stem}.py"
    return checksums(root, code_files(root, module))


def _hash_of(path: Path, stage: str) -> dict[str, str] | str:
    if path.is_file():
        return sha256_of(path)
    if not path.is_dir():
        raise ArtifactError(f"{path}: {stage} needs it, no stage makes it, and it is not there")
    files = sorted(
        file for file in path.rglob("*") if file.is_file() and file.parent.name != "__pycache__"
    )
    return {str(file.relative_to(path)): sha256_of(file) for file in files}


def _marker(root: Path, stage: Stage) -> Path:
    return root / ".state" / "done" / f"{stage.name}.json"


def is_done(root: Path, stage: Stage, mark: str) -> bool:
    """Whether the stage was run as it is now and its outputs are there.

    Args:
        root: the workspace.
        stage: of its graph.
        mark: the stage's fingerprint.
    """
    try:
        content = json.loads(_marker(root, stage).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    return content["fingerprint"] == mark and not missing_outs(root, stage)


def missing_outs(root: Path, stage: Stage) -> list[str]:
    """The stage's outputs that are not there."""
    return [out for out in stage.outs if not (root / out).exists()]


def done_stages(root: Path, graph: Graph, marks: Mapping[str, str]) -> set[str]:
    """The names of the stages that are done, by the fingerprints that `fingerprints` gives."""
    return {stage.name for stage in graph.stages if is_done(root, stage, marks[stage.name])}


def mark_done(root: Path, stage: Stage, mark: str, seconds: float) -> None:
    """Notes that a stage with this fingerprint is done, and how long its last start took."""
    content = {"fingerprint": mark, "seconds": round(seconds, 3)}
    write_text(_marker(root, stage), json.dumps(content) + "\n")


def unmark(root: Path, stage: Stage) -> None:
    """Forgets that a stage is done."""
    _marker(root, stage).unlink(missing_ok=True)


def stage_seconds(root: Path, graph: Graph) -> dict[str, float]:
    """How long the last start of every stage took that is done; those before it are not counted."""
    found = {}
    for stage in graph.stages:
        path = _marker(root, stage)
        if path.is_file():
            found[stage.name] = float(json.loads(path.read_text(encoding="utf-8"))["seconds"])
    return found

"""Checkpoints of a running loop: safetensors + JSON under .state/, never pickled.

`state.json` names the tensor file and its sha256 and is renamed into place last, so a kill at
any moment leaves the previous checkpoint whole. The fingerprint of recipe, data and first
weights says whether a checkpoint belongs to this run; if not, it is ignored.
"""

import hashlib
import json
import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from tasks.artifacts.files import sha256_of, write_atomically, write_text
from tasks.training.recipe import Student

log = logging.getLogger(__name__)

FIELDS = ("best_valid", "best_step", "steps_run", "stale", "is_done", "seconds", "history")


def fingerprint(settings: Any, tensors: Sequence[Tensor]) -> str:
    """Hex sha256 over settings (by repr) and tensors.

    Of a tensor the hash of every row is taken, made where the tensor lies (torch.hash_tensor: the
    exclusive or of the row's bits): bringing billions of weights to the CPU would take minutes.
    """
    digest = hashlib.sha256(repr(settings).encode())
    for tensor in tensors:
        digest.update(str((tuple(tensor.shape), tensor.dtype)).encode())
        if tensor.numel():
            rows = torch.hash_tensor(tensor.detach(), dim=-1)
            digest.update(rows.cpu().numpy().tobytes())
    return digest.hexdigest()


def save_state(folder: Path, step: int, mark: str, students: Sequence[Student]) -> None:
    """Writes a checkpoint of all students and deletes the one before.

    Of a student that is done only the best weights are kept: four times fewer bytes.
    """
    tensors: dict[str, Tensor] = {}
    for student in students:
        parts = {"best": student.best}
        if not student.is_done:
            parts["now"] = student.trainable_state()
            tensors |= _optimizer_tensors(student)
        for kind, state in parts.items():
            tensors |= {f"{student.name}|{kind}|{key}": t for key, t in state.items()}
    name = f"step-{step:08d}.safetensors"
    tensors = {key: tensor.detach().cpu().contiguous() for key, tensor in tensors.items()}
    write_atomically(folder / name, lambda path: save_file(tensors, path))
    data = {
        "step": step,
        "fingerprint": mark,
        "file": name,
        "sha256": sha256_of(folder / name),
        "students": {s.name: {field: getattr(s, field) for field in FIELDS} for s in students},
    }
    write_text(folder / "state.json", json.dumps(data))
    for old in folder.glob("step-*.safetensors"):
        if old.name != name:
            old.unlink()


def load_state(folder: Path, mark: str, students: Sequence[Student]) -> int:
    """Restores the students and returns the step reached; 0 when there is nothing to restore."""
    try:
        data = json.loads((folder / "state.json").read_text(encoding="utf-8"))
        path = folder / data["file"]
        if data["fingerprint"] != mark:
            log.info("%s: of other settings, data or weights; starting from the first step", folder)
            return 0
        if sha256_of(path) != data["sha256"]:
            return 0
        tensors = load_file(path)
    except (OSError, ValueError, KeyError, SafetensorError):
        return 0
    for student in students:
        for field in FIELDS:
            setattr(student, field, data["students"][student.name][field])
        student.take(_part(tensors, f"{student.name}|now|"))
        student.best = _part(tensors, f"{student.name}|best|")
        device = next(student.model.parameters()).device
        student.best = {key: tensor.to(device) for key, tensor in student.best.items()}
        _restore_optimizer(student, _part(tensors, f"{student.name}|optimizer|"))
    return int(data["step"])


def _part(tensors: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {k.removeprefix(prefix): t for k, t in tensors.items() if k.startswith(prefix)}


def _optimizer_tensors(student: Student) -> dict[str, Tensor]:
    assert student.optimizer is not None
    state = student.optimizer.state_dict()["state"]
    return {
        f"{student.name}|optimizer|{number}|{key}": torch.as_tensor(value)
        for number, entry in state.items()
        for key, value in entry.items()
    }


def _restore_optimizer(student: Student, tensors: dict[str, Tensor]) -> None:
    assert student.optimizer is not None
    state: dict[int, dict[str, Tensor]] = {}
    for name, tensor in tensors.items():
        number, key = name.split("|")
        state.setdefault(int(number), {})[key] = tensor
    whole = student.optimizer.state_dict()
    whole["state"] = state
    student.optimizer.load_state_dict(whole)

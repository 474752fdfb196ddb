"""The models that `evaluate` judges: where they lie, and what is known of them beforehand."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import torch

from tasks.artifacts.training import ControlSummary, PruneSummary, TrainingSummary
from tasks.errors import ArtifactError
from tasks.models.base import ForecastModel
from tasks.models.registry import load_in_units, load_model

NEEDED_CONTROLS = ("full_extra", "random_0", "scratch")
AS_IMPORTED = ("zero_shot", "zero_shot_pruned")  # before any tuning on this dataset
NOT_CONTROLS = ("full", "full_untuned", "pruned", *AS_IMPORTED)


@dataclass(frozen=True, kw_only=True)
class Facts:
    """What the evaluation says about a model itself."""

    num_blocks: int
    family: str
    label: str
    stacks: dict[str, int]  # blocks by stack

    @classmethod
    def of(cls, model: ForecastModel) -> Self:
        """The facts of a model."""
        sizes = zip(model.stacks, model.stack_sizes, strict=True)
        return cls(
            num_blocks=model.num_blocks,
            family=model.config.family,
            label=model.label,
            stacks={stack.path: size for stack, size in sizes},
        )


def model_folders(pair: str, start: Path | None) -> dict[str, Path]:
    """The folder of every model to judge, by forecaster.

    Args:
        pair: DATASET/MODEL.
        start: the model before any tuning on this dataset, where it was pretrained.

    Raises:
        ArtifactError: a control that the verdict needs is missing.
    """
    controls = Path("models/controls", pair)
    folders = {"full_untuned": Path("models/full", pair), "pruned": Path("models/pruned", pair)}
    for summary in sorted(controls.glob("*/control.json")):
        folders[summary.parent.name] = summary.parent
    for name in NEEDED_CONTROLS:
        if name not in folders:
            raise ArtifactError(f"{controls / name}: missing; run `dvc repro` to make it")
    return folders if start is None else folders | dict.fromkeys(AS_IMPORTED, start)


def load_judged(
    name: str, folder: Path, prune: PruneSummary, device: torch.device
) -> ForecastModel:
    """The model of a forecaster; `zero_shot_pruned` keeps the chosen blocks and is not healed."""
    if name != "zero_shot_pruned":
        return load_model(folder, device)
    return load_in_units(folder, prune.granularity, device).with_blocks(prune.keep)


def ways_of(folders: Mapping[str, Path], prune: PruneSummary) -> dict[str, str]:
    """In which way the pruned model and every control were trained."""
    made = {
        name: ControlSummary.read(folder / "control.json").way
        for name, folder in folders.items()
        if name not in NOT_CONTROLS
    }
    return {"pruned": prune.chosen} | made


def valid_errors(folders: Mapping[str, Path], prune: PruneSummary) -> dict[str, float]:
    """The validation error that training left beside each tuned model."""
    chosen = next(one for one in prune.options if one.name == prune.chosen)
    untuned = TrainingSummary.read(folders["full_untuned"] / "training.json")
    errors = {"full_untuned": untuned.valid_mse, "pruned": chosen.training.valid_mse}
    for name, folder in folders.items():
        if name not in (*errors, *AS_IMPORTED):
            errors[name] = ControlSummary.read(folder / "control.json").training.valid_mse
    return errors

"""A healer of a tiny model, and the ways in which it can heal."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Literal

from tasks.sections.healing import Healing
from tasks.training.healing import Healed, Healer, HealingJob
from tasks.training.options import HealingOption, healing_option
from tests.tiny import tiny_data, tiny_model, tiny_recipe

KEEP = (0, 2)
HEALING = Healing(distillation=0.5, hidden=0.3, rounds=3, seam_windows=32)
NAMES = [
    "plain", "distilled", "hidden", "hidden_cut", "kept_only", "head_last", "iterative",
    "iterative+distilled", "iterative+kept_only+hidden",
]  # fmt: skip


def option(name: str, *, seam_repair: bool = False) -> HealingOption:
    """The option of that name by the settings `HEALING`."""
    return replace(healing_option(name, HEALING), seam_repair=seam_repair)


def healer(backbone: Literal["gpt2", "qwen3", "llama"] = "gpt2", **changes: object) -> Healer:
    """One whose teacher has other weights than the model; `changes` are those of the recipe."""
    return Healer(
        full=tiny_model(backbone),
        teacher=tiny_model(backbone, seed=1),
        data=tiny_data(),
        recipe=tiny_recipe(**changes),
        healing=HEALING,
        rate=3e-3,
        scratch_rate=3e-3,
        scores=None,
    )


def heal(
    folder: Path, jobs: Sequence[HealingJob], one: Healer | None = None, steps: int = 12
) -> Healed:
    """Heals the jobs by that healer, or by a new one."""
    return (one or healer()).heal(jobs, steps=steps, state_folder=folder, what="tiny")

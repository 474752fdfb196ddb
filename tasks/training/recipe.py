"""What the loop needs to know: a recipe shared by all students of one run, and the students."""

from dataclasses import dataclass, field
from typing import Any, Literal

import torch
from torch import Tensor

from tasks.artifacts import TrainingSummary
from tasks.models.interface import LossSpec
from tasks.models.native import NativeModel
from tasks.sections import Training
from tasks.training.optimizer import adamw


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """Settings common to all students: batches, optimizer, evaluation, loss."""

    batch_size: int
    accumulation: int
    warmup_share: float
    weight_decay: float
    betas: tuple[float, float]
    clip_norm: float
    eval_every: int
    patience: int
    checkpoint_every: int
    loss: LossSpec
    precision: Literal["auto", "fp32", "bf16"]
    activation_checkpointing: bool
    seed: int


def recipe_of(
    training: Training, *, seed: int, eval_every: int | None = None, patience: int | None = None
) -> Recipe:
    """The recipe of a training section; healing gives its own evaluation rhythm."""
    return Recipe(
        batch_size=training.batch_size,
        accumulation=training.accumulation,
        warmup_share=training.warmup_share,
        weight_decay=training.weight_decay,
        betas=training.betas,
        clip_norm=training.clip_norm,
        eval_every=eval_every or training.eval_every,
        patience=patience or training.patience,
        checkpoint_every=training.checkpoint_every,
        loss=LossSpec(
            kind=training.loss,
            space=training.loss_space,
            target_clip=training.target_clip,
            last_weight=training.last_weight,
        ),
        precision=training.precision,
        activation_checkpointing=training.activation_checkpointing,
        seed=seed,
    )


@dataclass(kw_only=True)
class Student:
    """One model in training, with its optimizer and its best checkpoint so far.

    `distillation` is the weight of the teacher's forecast in the loss; 0 = the task alone.
    """

    name: str
    model: NativeModel
    steps: int
    learning_rate: float
    distillation: float = 0.0
    best_valid: float = float("inf")
    best_step: int = 0
    steps_run: int = 0
    stale: int = 0  # evaluations since the best one
    is_done: bool = False
    history: list[dict[str, Any]] = field(default_factory=list)
    best: dict[str, Tensor] = field(default_factory=dict)
    optimizer: torch.optim.AdamW | None = None

    def prepare(self, recipe: Recipe) -> None:
        """Makes the optimizer."""
        self.optimizer = adamw(
            self.model.trainable(), betas=recipe.betas, weight_decay=recipe.weight_decay
        )
        if recipe.activation_checkpointing:
            self.model.backbone.gradient_checkpointing_enable()

    def trainable_state(self) -> dict[str, Tensor]:
        """The tensors that training changes, by name (not copied)."""
        return {n: p.detach() for n, p in self.model.named_parameters() if p.requires_grad}

    def take(self, state: dict[str, Tensor]) -> None:
        """Copies tensors into the model's parameters of the same names."""
        own = self.trainable_state()
        with torch.no_grad():
            for name, tensor in state.items():
                own[name].copy_(tensor)

    def record(self, valid_mse: float, step: int, patience: int) -> None:
        """Notes a validation error: keeps the best weights, stops when patience runs out."""
        if valid_mse < self.best_valid:
            self.best_valid, self.best_step, self.stale = valid_mse, step, 0
            self.best = {name: t.clone() for name, t in self.trainable_state().items()}
        else:
            self.stale += 1
        self.is_done = step >= self.steps or self.stale >= patience

    def summary(self, precision: Literal["fp32", "bf16"]) -> TrainingSummary:
        """How it was trained."""
        return TrainingSummary(
            steps=self.steps,
            steps_run=self.steps_run,
            best_step=self.best_step,
            valid_mse=self.best_valid,
            stopped_early=self.steps_run < self.steps,
            still_improving=self.best_step > 0.9 * self.steps,
            learning_rate=self.learning_rate,
            precision=precision,
            trainable_parameters=sum(p.numel() for p in self.model.trainable()),
        )

"""What the loop needs to know: a recipe shared by all students of one run, and the students."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Literal

import torch
from torch import Tensor

from tasks.artifacts.training import TrainingSummary
from tasks.models.base import ForecastModel
from tasks.models.interface import LossSpec
from tasks.sections.models import Training
from tasks.training.convergence import late_change
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
    patience: int | None  # evaluations without a better one; None: all steps are taken
    checkpoint_every: int
    loss: LossSpec
    precision: Literal["auto", "fp32", "bf16"]
    activation_checkpointing: bool
    seed: int


def recipe_of(training: Training, *, seed: int) -> Recipe:
    """The recipe of a training section."""
    return Recipe(
        batch_size=training.batch_size,
        accumulation=training.accumulation,
        warmup_share=training.warmup_share,
        weight_decay=training.weight_decay,
        betas=training.betas,
        clip_norm=training.clip_norm,
        eval_every=training.eval_every,
        patience=training.patience,
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

    Attributes:
        way: its name among `healing.options` or `healing.scratch`; empty where it is none of them.
        distillation: share of the loss that asks for the teacher's forecast; 0 = the task alone.
        hidden: weight, beside that, of the distance to the teacher's hidden states.
        matched: for each block of the model, the teacher's block whose state it is to reach.
        frozen: names of parameters that stay as they are.
        replay: share of each batch that comes from the mix the model was pretrained on; the
            students of one loop have the same.
        is_trial: only its validation error is wanted, so its best weights are not kept.
        seconds: this student's own computing so far, the teacher's passes that it used included.
    """

    name: str
    model: ForecastModel
    steps: int
    learning_rate: float
    way: str = ""
    distillation: float = 0.0
    hidden: float = 0.0
    matched: tuple[int, ...] = ()
    frozen: frozenset[str] = frozenset()
    replay: float = 0.0
    is_trial: bool = False
    seconds: float = 0.0
    best_valid: float = float("inf")
    best_step: int = 0
    steps_run: int = 0
    stale: int = 0  # evaluations since the best one
    is_done: bool = False
    history: list[dict[str, Any]] = field(default_factory=list)
    best: dict[str, Tensor] = field(default_factory=dict)
    optimizer: torch.optim.AdamW | None = None

    def prepare(self, recipe: Recipe) -> None:
        """Freezes what is not to be trained and makes the optimizer of the rest."""
        for name, parameter in self.model.named_parameters():
            if name in self.frozen:
                parameter.requires_grad_(False)
        self.optimizer = adamw(
            self.model.trainable(), betas=recipe.betas, weight_decay=recipe.weight_decay
        )
        if recipe.activation_checkpointing:
            self.model.checkpoint_activations()

    @property
    def lessons(self) -> tuple[float, float, tuple[int, ...]]:
        """What it learns from the teacher: distillation, hidden, matched."""
        return self.distillation, self.hidden, self.matched

    @property
    def is_taught(self) -> bool:
        """Whether the loss needs the teacher."""
        return self.distillation > 0 or (self.hidden > 0 and bool(self.matched))

    @contextmanager
    def timed(self) -> Iterator[None]:
        """Adds the time inside the context to `seconds`."""
        started = time.perf_counter()
        yield
        self.seconds += time.perf_counter() - started

    def trainable_state(self) -> dict[str, Tensor]:
        """The tensors that training changes, by name (not copied).

        Beside parameters those are buffers such as the running means of batch normalisation.
        """
        parameters = {name for name, _ in self.model.named_parameters(remove_duplicate=False)}
        buffers = {n: t for n, t in self.model.state_dict().items() if n not in parameters}
        trained = {n: p.detach() for n, p in self.model.named_parameters() if p.requires_grad}
        return trained | buffers

    def take(self, state: dict[str, Tensor]) -> None:
        """Copies tensors into the model's tensors of the same names."""
        own = self.trainable_state()
        with torch.no_grad():
            for name, tensor in state.items():
                own[name].copy_(tensor)

    def record(self, valid_mse: float, step: int, patience: int | None) -> None:
        """Notes a validation error: keeps the best weights, stops when patience runs out."""
        if valid_mse < self.best_valid:
            self.best_valid, self.best_step, self.stale = valid_mse, step, 0
            if not self.is_trial:
                self.best = {name: t.clone() for name, t in self.trainable_state().items()}
        else:
            self.stale += 1
        is_out = patience is not None and self.stale >= patience
        self.is_done = is_out or step >= self.steps

    @property
    def shown_mse(self) -> float:
        """The validation error for progress lines: the lowest so far."""
        return self.best_valid

    def summary(self, precision: Literal["fp32", "bf16"]) -> TrainingSummary:
        """How it was trained."""
        return TrainingSummary(
            steps=self.steps,
            steps_run=self.steps_run,
            best_step=self.best_step,
            valid_mse=self.best_valid,
            stopped_early=self.steps_run < self.steps,
            still_improving=self.best_step > 0.9 * self.steps,
            late_change=late_change(*self._evaluations()),
            learning_rate=self.learning_rate,
            precision=precision,
            trainable_parameters=sum(p.numel() for p in self.model.trainable()),
        )

    def _evaluations(self) -> tuple[list[int], list[float]]:
        rows = [row for row in self.history if row["valid_mse"] is not None]
        return [row["step"] for row in rows], [row["valid_mse"] for row in rows]

"""The training loop: one model, or several students on the same batches.

Students that are trained together see the same windows at the same step, so their comparison is
paired and the teacher's forecast is computed once for all. The windows of a step and what is drawn
at random in a pass (dropout, noise) depend on the seed and the step alone; a run that is killed
and started again ends bit-identical to one that was not.
"""

import logging
import shutil
from collections.abc import Sequence
from contextlib import AbstractContextManager, ExitStack, nullcontext
from pathlib import Path
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor

from tasks.masks.errors import evaluation_batch, mean_error, window_sums
from tasks.models.base import ForecastModel
from tasks.pipeline.code import code_behind
from tasks.runtime import STOPPED_STATUS, Progress, drawing, seed_for, stopping_between_steps
from tasks.training.lessons import Lesson, student_loss, teach
from tasks.training.optimizer import learning_rate_at
from tasks.training.precision import pick_precision
from tasks.training.recipe import Recipe, Student
from tasks.training.replay import Windows
from tasks.training.state import fingerprint, load_state, save_state

log = logging.getLogger(__name__)


class Loop:
    """Trains students together on windows, with a checkpoint folder to resume from."""

    def __init__(
        self,
        students: Sequence[Student],
        recipe: Recipe,
        *,
        windows: Windows,
        valid: Float[Tensor, "valid length"],
        state_folder: Path,
        what: str,
        teacher: ForecastModel | None = None,
        earlier_steps: int = 0,
    ) -> None:
        """A loop that has not begun.

        Args:
            students: trained together.
            recipe: what they share.
            windows: training windows.
            valid: validation windows.
            state_folder: where the checkpoints go.
            what: names the work in progress lines.
            teacher: for students that learn from its forecasts or states.
            earlier_steps: steps of the loops before this one, so that the batches go on.
        """
        self.students, self.recipe, self.teacher = students, recipe, teacher
        self.earlier_steps = earlier_steps
        self.windows, self.state_folder, self.what = windows, state_folder, what
        self.device = next(students[0].model.parameters()).device
        self.valid = valid.to(self.device)
        for student in students:
            student.prepare(recipe)
        self.precision: Literal["fp32", "bf16"] = pick_precision(
            recipe.precision, students[0].model, self.valid[: recipe.batch_size]
        )

    def run(self) -> None:
        """Trains until every student is done; each model ends with the weights it has chosen.

        A SIGTERM ends the process after the step at work, with a checkpoint of it.
        """
        mark = self._fingerprint()
        step = load_state(self.state_folder, mark, self.students)
        if step:
            log.info("%s: resumed at step %d", self.what, step)
        else:
            self._evaluate(0)
        total = max(student.steps for student in self.students)
        with Progress(self.what, total) as progress, stopping_between_steps() as is_stopped:
            while any(not student.is_done for student in self.students):
                step += 1
                self._step(step)
                stops = is_stopped()  # asked once: one that comes later waits for the next step
                if step % self.recipe.checkpoint_every == 0 or stops:
                    save_state(self.state_folder, step, mark, self.students)
                progress.update(step, self._text())
                if stops:
                    log.info("%s: stopped at step %d; it goes on from there", self.what, step)
                    raise SystemExit(STOPPED_STATUS)
            save_state(self.state_folder, step, mark, self.students)
            if step < total:
                progress.update(total, f"stopped early at step {step}; {self._text()}")
        for student in self.students:
            student.take(student.best)
            student.model.eval()
            student.optimizer = None  # its memory is wanted by what comes next

    def discard_state(self) -> None:
        """Deletes the checkpoints, once the results are safely written."""
        shutil.rmtree(self.state_folder, ignore_errors=True)

    def _text(self) -> str:
        return f"valid_mse {min(student.shown_mse for student in self.students):.4f}"

    def _fingerprint(self) -> str:
        teacher = [] if self.teacher is None else list(self.teacher.state_dict().values())
        settings = [
            (s.name, s.steps, s.learning_rate, s.model.config, sorted(s.frozen), s.lessons)
            for s in self.students
        ]
        replay = [s.replay for s in self.students]
        weights = [t for s in self.students for t in s.model.state_dict().values()]
        sample = self.windows.batch(self.windows.spaced(4096))
        size = len(self.windows)
        taught = [] if self.teacher is None else [self.teacher]
        learners = [part for s in self.students for part in (s, s.model)]
        code = code_behind({type(one) for one in (self, *learners, *taught)})
        mark = (self.recipe, settings, replay, size, self.precision, self.earlier_steps, code)
        odds = [] if self.windows.weights is None else [self.windows.weights]
        return fingerprint(mark, [sample, self.valid, *odds, *weights, *teacher])

    def _autocast(self) -> AbstractContextManager[object]:
        if self.precision == "fp32":
            return nullcontext()
        return torch.autocast(self.device.type, dtype=torch.bfloat16)

    def _step(self, step: int) -> None:
        number = self.earlier_steps + step
        generator = torch.Generator().manual_seed(seed_for(self.recipe.seed, "batch", number))
        active = [student for student in self.students if not student.is_done]
        before = {student.name: student.seconds for student in active}
        losses = dict.fromkeys(before, 0.0)
        for part in range(self.recipe.accumulation):
            batch = self.windows.batch(self.windows.draw(self.recipe.batch_size, generator))
            noise = seed_for(self.recipe.seed, "noise", number, part)
            self._backward(batch.to(self.device), active, losses, noise)
        for student in active:
            with student.timed():
                rate = self._update(student, step)
            student.steps_run = step
            student.history.append(
                {
                    "option": student.name,
                    "step": step,
                    "learning_rate": rate,
                    "train_loss": losses[student.name],
                    "valid_mse": None,
                }
            )
        if step % self.recipe.eval_every == 0 or any(step == s.steps for s in active):
            self._evaluate(step)
        for student in active:
            student.history[-1]["seconds"] = student.seconds - before[student.name]

    def _backward(
        self, batch: Tensor, active: list[Student], losses: dict[str, float], noise: int
    ) -> None:
        """`noise` seeds every student's pass: none depends on who else is trained."""
        with drawing(self.device, noise):
            lesson = self._teach(batch, [student for student in active if student.is_taught])
        for student in active:
            with student.timed(), drawing(self.device, noise):
                student.model.train()
                with self._autocast():
                    loss = student_loss(student, batch, lesson, self.recipe.loss)
                (loss / self.recipe.accumulation).backward()
                losses[student.name] += float(loss.detach()) / self.recipe.accumulation

    def _teach(self, batch: Tensor, taught: list[Student]) -> Lesson | None:
        if self.teacher is None or not taught:
            return None
        with ExitStack() as timers:  # alone, each would have to ask the teacher itself
            for student in taught:
                timers.enter_context(student.timed())
            with self._autocast():
                return teach(self.teacher, batch, taught)

    def _update(self, student: Student, step: int) -> float:
        assert student.optimizer is not None
        rate = learning_rate_at(
            step,
            steps=student.steps,
            peak=student.learning_rate,
            warmup_share=self.recipe.warmup_share,
        )
        for group in student.optimizer.param_groups:
            group["lr"] = rate
        torch.nn.utils.clip_grad_norm_(list(student.model.trainable()), self.recipe.clip_norm)
        student.optimizer.step()
        student.optimizer.zero_grad()
        return rate

    def _evaluate(self, step: int) -> None:
        for student in self.students:
            if student.is_done:
                continue
            with student.timed():
                mse = validation_mse(student.model, self.valid)
            student.record(mse, step, self.recipe.patience)
            if student.history:
                student.history[-1]["valid_mse"] = mse


@torch.no_grad()
def validation_mse(model: ForecastModel, windows: Float[Tensor, "windows length"]) -> float:
    """Mean squared error of the forecasts on windows of context + horizon; NaN targets skipped."""
    model.eval()
    context = model.config.context
    horizon = windows.shape[1] - context
    sums = [
        window_sums(model.forecast(batch[:, :context], horizon).mean, batch[:, context:])
        for batch in windows.split(evaluation_batch(windows.device))
    ]
    return mean_error(torch.cat(sums), windows[:, context:])

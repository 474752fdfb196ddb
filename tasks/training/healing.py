"""Healing: fine-tuning masks of a model after pruning, several of them on the same batches."""

import shutil
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from operator import attrgetter
from pathlib import Path
from typing import Literal

from tasks.artifacts.scoring import Scores
from tasks.artifacts.training import ControlSummary, StartSummary, TrainingSummary
from tasks.data.series import load_series
from tasks.data.spans import is_short
from tasks.masks.mask import Mask
from tasks.models.base import ForecastModel
from tasks.params import Params
from tasks.runtime import seed_for
from tasks.sections.healing import Healing
from tasks.sections.models import Training, is_random
from tasks.training.fit import TrainingData, tuned_rate, windows_of
from tasks.training.healing_student import HealingStudent
from tasks.training.loop import Loop
from tasks.training.options import HealingOption, usable_options
from tasks.training.parts import frozen_names
from tasks.training.precision import pick_precision
from tasks.training.recipe import Recipe, Student, recipe_of
from tasks.training.replay import load_replay
from tasks.training.rounds import join_rounds, round_masks, round_steps
from tasks.training.seam import cut_ends, places_of, repair_seams

ORDER = "block_influence"  # the score by which `iterative` lets blocks go; the cheapest one


@dataclass(frozen=True)
class HealingJob:
    """A mask to heal: the wanted blocks of the full model, and how.

    Of a trial only the validation error is wanted; its weights are not kept.
    """

    name: str
    keep: Mask
    option: HealingOption
    is_trial: bool = False


@dataclass(frozen=True)
class Healed:
    """The healed students, in the order of the jobs; `precision` is that of their loops."""

    students: list[Student]
    precision: Literal["fp32", "bf16"]
    state_folder: Path

    def discard_state(self) -> None:
        """Deletes all checkpoints, once the results are safely written."""
        shutil.rmtree(self.state_folder, ignore_errors=True)


@dataclass(frozen=True, kw_only=True)
class Healer:
    """Everything that healing the masks of one model needs, whatever the mask and the option.

    Attributes:
        full: the model that is pruned.
        teacher: the best full model, for distillation.
        data: training and validation windows.
        recipe: shared by all students.
        healing: the section of params.yaml.
        rate: the model's own peak learning rate.
        scratch_rate: that of a model from random weights.
        scores: one per block of `full`, for the order of iterative pruning; None: evenly.
        may_stay: whether a mask may keep its first weights, unhealed, where they are better.
    """

    full: ForecastModel
    teacher: ForecastModel
    data: TrainingData
    recipe: Recipe
    healing: Healing
    rate: float
    scratch_rate: float
    scores: Sequence[float] | None
    may_stay: bool = True

    def heal(
        self,
        jobs: Sequence[HealingJob],
        *,
        steps: int,
        state_folder: Path,
        what: str,
        rivals: Sequence[Student] = (),
    ) -> Healed:
        """Heals all jobs, or resumes: each with `steps` optimizer steps on the same batches.

        HealingJobs with the same share of replay that are pruned at once share one loop; those
        pruned in rounds share a chain of loops, one per round. Each rival has a loop of its own: it
        may be as large as the full model, so that sharing would cost memory.

        Args:
            jobs: with different names.
            steps: of each job, all its rounds together.
            state_folder: where all checkpoints go.
            what: names the work in progress lines.
            rivals: further students, trained in place on the same batches.
        """
        healed: dict[str, Student] = {}
        loops: list[Loop] = []
        kind = attrgetter("option.rounds", "option.replay")
        for (rounds, replay), alike in groupby(sorted(jobs, key=kind), key=kind):
            group = list(alike)
            folder = state_folder / f"rounds-{rounds}{'-replay' if replay else ''}"
            if rounds == 1:
                students = [self.student(one, self.full, one.keep, steps) for one in group]
                loop = self._run(students, folder, what)
            else:
                students, loop = self._heal_in_rounds(group, steps, folder, what)
            loops.append(loop)
            healed |= {student.name: student for student in students}
        for rival in rivals:
            folder = state_folder / rival.name.replace(" ", "-")
            loops.append(self._run([rival], folder, f"{what} {rival.name}"))
        in_order = [healed[one.name] for one in jobs]
        return Healed(in_order, loops[-1].precision, state_folder)

    def student(
        self, job: HealingJob, larger: ForecastModel, keep: Sequence[int], steps: int
    ) -> Student:
        """A student that starts as `larger` with just its blocks number `keep`."""
        option, model = job.option, larger.with_blocks(keep)
        if option.seam_repair:
            windows = self.data.windows
            sample = windows.batch(windows.spaced(self.healing.seam_windows))
            repair_seams(model, larger, sample, ridge=self.healing.seam_ridge)
        places = places_of(model, self.teacher)
        ends = cut_ends(places, self.teacher.stack_sizes)
        return HealingStudent(
            name=job.name,
            model=model,
            steps=steps,
            learning_rate=option.rate * self.rate,
            way=option.name,
            distillation=option.distillation,
            hidden=option.hidden,
            matched=tuple(places if option.matched == "own" else ends),
            frozen=frozen_names(model, option.trained),
            replay=option.replay,
            is_trial=job.is_trial and option.rounds == 1,  # a round goes on from the one before
            may_stay=self.may_stay or len(keep) == self.full.num_blocks,
        )

    @property
    def options(self) -> list[HealingOption]:
        """The ways of `healing.options` that this model can be healed in."""
        return self.usable(self.healing.options, "healing.options")

    def usable(self, names: Sequence[str], where: str) -> list[HealingOption]:
        """Those ways that this model can be trained in; `where` names their list in params.yaml."""
        has_replay = self.data.kept is not None
        return usable_options(names, self.healing, has_replay=has_replay, where=where)

    def _heal_in_rounds(
        self, jobs: Sequence[HealingJob], steps: int, folder: Path, what: str
    ) -> tuple[list[Student], Loop]:
        rounds = jobs[0].option.rounds
        plans = [round_masks(self.full.num_blocks, one.keep, rounds, self.scores) for one in jobs]
        larger = [self.full for _ in jobs]
        done: list[list[Student]] = []
        budgets = round_steps(steps, rounds)
        for number, budget in enumerate(budgets):
            students = []
            for job, model, plan in zip(jobs, larger, plans, strict=True):
                kept = [self.full.kept[block] for block in plan[number]]
                places = [model.kept.index(block) for block in kept]
                students.append(self.student(job, model, places, budget))
            loop = self._run(
                students,
                folder / f"round-{number + 1}",
                f"{what} round {number + 1} of {rounds}",
                earlier_steps=sum(budgets[:number]),
            )
            larger = [student.model for student in students]
            done.append(students)
        return [join_rounds(of_one) for of_one in zip(*done, strict=True)], loop

    def _run(
        self, students: Sequence[Student], folder: Path, what: str, *, earlier_steps: int = 0
    ) -> Loop:
        loop = Loop(
            students,
            self.recipe,
            windows=self.data.with_replay(students[0].replay),
            valid=self.data.valid,
            state_folder=folder,
            what=what,
            teacher=self.teacher,
            earlier_steps=earlier_steps,
        )
        loop.run()
        return loop


def make_healer(
    params: Params,
    dataset: str,
    name: str,
    *,
    full: ForecastModel,
    teacher: ForecastModel,
) -> Healer:
    """The healer of one dataset and model entry; every stage that heals gets the same batches.

    Its learning rate is the one that the full model's sweep found, or the scale's. Models from
    scratch take the swept one only where the full model began at random weights too: what suits
    pretrained ones is too low for them. On CUDA the precision is that of the full model's training.

    Args:
        params: all of params.yaml.
        dataset: whose prepared history is read.
        name: of the model entry, whose start, training summary and scores are read.
        full: the model that is pruned.
        teacher: the best full model.
    """
    pair = f"{dataset}/{name}"
    folder = Path("models/start") / name
    start, kept = StartSummary.read(folder / "start.json"), load_replay(folder)
    trained = TrainingSummary.read(Path("models/full") / pair / "training.json")
    scores = Scores.read(Path("scores") / f"{pair}.json").scores
    rate = tuned_rate(trained, start.learning_rate)
    training = params.training_of(name, scale_rate=rate)
    history = load_series(Path("data/prepared") / dataset / "history")
    data = windows_of(params, history, training)
    data = replace(data, kept=kept) if len(kept) else data
    device = next(full.parameters()).device
    is_measured = training.precision == "auto" and device.type == "cuda"
    sample = data.valid[: training.batch_size].to(device)
    precision = (
        trained.precision if is_measured else pick_precision(training.precision, full, sample)
    )
    recipe = healing_recipe(training, params.healing, seed=seed_for(params.seed, "heal", pair))
    return Healer(
        full=full,
        teacher=teacher,
        data=data,
        recipe=replace(recipe, precision=precision),
        healing=params.healing,
        rate=rate,
        scratch_rate=rate if is_random(params.models[name].start) else start.learning_rate,
        scores=scores[ORDER].values if ORDER in scores else None,
        may_stay=not is_short(history, params.windows.horizon),
    )


def healing_recipe(training: Training, healing: Healing, *, seed: int) -> Recipe:
    """The model's own training recipe with the evaluation rhythm of healing, without patience."""
    return replace(recipe_of(training, seed=seed), eval_every=healing.eval_every, patience=None)


def save_control(
    folder: Path,
    student: Student,
    keep: Sequence[int] | None,
    precision: Literal["fp32", "bf16"],
) -> None:
    """Writes a control's model folder with its control.json.

    `keep` names its blocks in the full model; None where it is not a mask of it.
    """
    student.model.save(folder)
    ControlSummary(
        name=student.name,
        keep=None if keep is None else list(keep),
        way=student.way,
        training=student.summary(precision),
    ).write(folder / "control.json")

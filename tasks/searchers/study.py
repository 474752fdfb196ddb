"""One Optuna study per dataset and model, with two objectives: validation error and cost.

One process leads: it queues the scores' proposals, then either every mask of the wanted sizes or
what the sampler proposes, `batch` masks at a time from the trials before them. It measures too,
beside any number of workers. Which process measures a mask changes nothing, so the trials are the
same for any number of processes, and after any of them was killed.
"""

import itertools
import logging
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import optuna
import pandas as pd
from optuna.trial import FrozenTrial, TrialState, create_trial

from tasks.masks.cost import Costs
from tasks.masks.mask import Mask, count_masks, format_mask
from tasks.runtime import Progress, seed_for
from tasks.searchers.evaluator import MaskEvaluator
from tasks.searchers.queue import SOURCE, WINDOWS, Result, Slot, StudyQueue
from tasks.searchers.race import race
from tasks.searchers.samplers import make_sampler
from tasks.searchers.space import decode, distributions, encode, suggest
from tasks.sections.search import Search

EXHAUSTIVE = "exhaustive"
TOGETHER = 64  # masks of one unit where all windows are measured
POLL_SECONDS = 0.05

log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What a study has to do: proposals first, then every mask or the sampler."""

    name: str  # of the study; holds a fingerprint, so that a changed model starts a new one
    num_blocks: int
    sizes: list[int]
    proposals: list[tuple[str, Mask]]  # source, mask
    costs: Costs
    seed: int
    num_kinds: int = 1  # of blocks that take turns in the stack

    def is_exhaustive(self, options: Search) -> bool:
        """Whether all masks of the wanted sizes are few enough to measure each."""
        return count_masks(self.sizes, self.num_blocks) <= options.exhaustive_limit

    def proposed(self) -> dict[Mask, str]:
        """The different proposals and who made each first, in their order."""
        first: dict[Mask, str] = {}
        for source, mask in self.proposals:
            first.setdefault(mask, source)
        return first

    def proposed_by(self, sources: Sequence[str]) -> list[Mask]:
        """The different masks that at least one of these sources proposes."""
        return list(dict.fromkeys(mask for source, mask in self.proposals if source in sources))

    def all_of(self, size: int) -> list[Mask]:
        """Every mask of a size."""
        return list(itertools.combinations(range(self.num_blocks), size))


def known_slots(plan: Plan, options: Search) -> list[list[Slot]]:
    """The slots that are known from the start: the proposals, then all other masks if few.

    The second list must wait for the first. The masks of one size race each other, so they are
    one unit.
    """
    proposed = plan.proposed()
    first = _slots(plan, list(proposed.items()), 0, TOGETHER)
    second: list[Slot] = []
    if plan.is_exhaustive(options):
        for size in plan.sizes:
            rest = [(mask, EXHAUSTIVE) for mask in plan.all_of(size) if mask not in proposed]
            together = max(1, len(rest)) if options.racing else TOGETHER
            second += _slots(plan, rest, len(first) + len(second), together)
    return [first, second]


def _slots(plan: Plan, masks: Sequence[tuple[Mask, str]], first: int, together: int) -> list[Slot]:
    space = distributions(plan.sizes, plan.num_blocks)
    return [
        Slot(
            number=first + place,
            unit=first + place - place % together,
            source=source,
            params=encode(mask, plan.num_blocks),
            distributions=space,
        )
        for place, (mask, source) in enumerate(masks)
    ]


def propose(
    plan: Plan, options: Search, history: Sequence[FrozenTrial], numbers: range
) -> list[Slot]:
    """What the sampler proposes for the slots `numbers`, after the trials of all slots before.

    The sampler sees the history as if one process had made it, in the order of the slots, and
    the proposals of the same batch as running.
    """
    view = optuna.create_study(directions=["minimize", "minimize"])
    view.add_trials(
        create_trial(
            params=done.params,
            distributions=done.distributions,
            values=done.values,
            system_attrs=done.system_attrs,
        )
        for done in history
    )
    for number in numbers:
        view.sampler = make_sampler(
            options.sampler,
            sizes=plan.sizes,
            num_blocks=plan.num_blocks,
            num_kinds=plan.num_kinds,
            seed=seed_for(plan.seed, "trial", number),
        )
        suggest(view.ask(), plan.sizes, plan.num_blocks)
    return [
        Slot(
            number=trial.number,
            unit=trial.number,
            source=options.sampler,
            params=trial.params,
            distributions=trial.distributions,
            system_attrs=trial.system_attrs,
        )
        for trial in view.get_trials(deepcopy=False, states=(TrialState.RUNNING,))
    ]


@dataclass(frozen=True)
class Gauge:
    """Measures the masks of a unit."""

    plan: Plan
    options: Search
    evaluator: MaskEvaluator

    def measure(self, unit: Sequence[FrozenTrial], queue: StudyQueue) -> list[Result]:
        """The results of a unit; masks that the study knows are not measured again."""
        table = queue.costs(self.plan.costs.table)
        for trial in queue.complete():
            if trial.user_attrs[WINDOWS] == self.num_windows:
                self.evaluator.memo[decode(trial.params, self.plan.num_blocks)] = trial.values[0]
        masks = [decode(trial.params, self.plan.num_blocks) for trial in unit]
        windows = dict.fromkeys(masks, self.num_windows)
        if self.options.racing and unit[0].user_attrs[SOURCE] == EXHAUSTIVE:
            size = len(masks[0])
            raced = race(
                self.evaluator,
                self.plan.all_of(size),
                top=self.options.heal_top,
                alpha=self.options.racing_alpha,
                seed=seed_for(self.plan.seed, "race", size),
                at_look=lambda: queue.renew(unit),
            )
            errors, windows = [raced.errors[mask] for mask in masks], raced.windows
        else:
            errors = self.evaluator.errors(masks)
        return [
            Result(error, self.plan.costs.of(mask, table), windows[mask])
            for mask, error in zip(masks, errors, strict=True)
        ]

    @property
    def num_windows(self) -> int:
        """How many windows a mask that is not stopped is measured on."""
        return len(self.evaluator.windows)


def run_study(
    gauge: Gauge, queue: StudyQueue, what: str, *, watch: Callable[[], None] = lambda: None
) -> pd.DataFrame:
    """Runs the study, or resumes it, and returns its trials.

    A trial is complete or it does not count: one that a kill interrupted is failed and its slot
    queued again, so a resumed study equals an uninterrupted one.

    Args:
        gauge: measures.
        queue: of the study; this process is the only one that adds to it.
        what: names the work in the log.
        watch: called now and then, to look after the workers.

    Returns:
        One row per complete trial: number, keep, num_kept, source, valid_mse, cost, windows.
    """
    queue.release_lost()
    queue.costs(gauge.plan.costs.table)
    done = len(queue.complete())
    if done:
        log.info("%s: resumed with %d trials", what, done)
    known = known_slots(gauge.plan, gauge.options)
    total = sum(map(len, known))
    if not gauge.plan.is_exhaustive(gauge.options):
        total = max(total, gauge.options.trials)
    with Progress(what, total) as progress:
        for slots in itertools.chain(known, _sampled(gauge, queue, sum(map(len, known)), total)):
            queue.add(slots)
            _drain(gauge, queue, progress, watch)
    queue.close()
    return trials_frame(queue.complete(), gauge.plan.num_blocks)


def _sampled(gauge: Gauge, queue: StudyQueue, first: int, total: int) -> Iterator[list[Slot]]:
    """Batch by batch, until enough trials are done or no mask is left to measure."""
    plan, options = gauge.plan, gauge.options
    for start in range(first, total, options.batch):
        numbers = range(start, min(start + options.batch, total))
        history = queue.complete()
        if len(history) >= numbers.stop:  # measured before a restart
            continue
        history = history[:start]
        different = {decode(trial.params, plan.num_blocks) for trial in history}
        if len(different) == count_masks(plan.sizes, plan.num_blocks):
            return
        yield propose(plan, options, history, numbers)


def _drain(gauge: Gauge, queue: StudyQueue, progress: Progress, watch: Callable[[], None]) -> None:
    """Measures until nothing is queued and nothing is being measured by others."""
    while queue.unfinished():
        watch()
        if not measure_one(gauge, queue):
            queue.release_lost()
            time.sleep(POLL_SECONDS)
        done = queue.complete()
        if done:
            progress.update(len(done), f"valid_mse {done[-1].values[0]:.4f}")


def measure_one(gauge: Gauge, queue: StudyQueue) -> bool:
    """Claims a unit and measures it; False when none waits."""
    unit = queue.claim()
    if unit is None:
        return False
    queue.finish(unit, gauge.measure(unit, queue))
    return True


def trials_frame(trials: Sequence[FrozenTrial], num_blocks: int) -> pd.DataFrame:
    """The complete trials as a table, in order."""
    rows = []
    for number, trial in enumerate(trials):
        mask = decode(trial.params, num_blocks)
        rows.append(
            {
                "number": number,
                "keep": format_mask(mask),
                "num_kept": len(mask),
                "source": trial.user_attrs[SOURCE],
                "valid_mse": trial.values[0],
                "cost": trial.values[1],
                "windows": trial.user_attrs[WINDOWS],
            }
        )
    return pd.DataFrame(rows)


def fully_measured(trials: pd.DataFrame) -> pd.DataFrame:
    """The trials whose error is no estimate: those measured on as many windows as any."""
    full: pd.DataFrame = trials[trials["windows"] == trials["windows"].max()]
    return full


def pareto_front(trials: pd.DataFrame) -> pd.DataFrame:
    """The fully measured trials that no other beats in cost and error, cheapest first."""
    ordered = fully_measured(trials).sort_values(["cost", "valid_mse", "number"], kind="stable")
    best = ordered["valid_mse"].cummin().shift(fill_value=float("inf"))
    front = ordered[ordered["valid_mse"] < best]
    return front[["num_kept", "cost", "valid_mse", "keep"]].reset_index(drop=True)

"""One Optuna study per dataset and model, with two objectives: validation error and cost."""

import itertools
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import optuna
import pandas as pd
from optuna.trial import FrozenTrial, TrialState, create_trial

from tasks.masks.mask import Mask, count_masks, format_mask
from tasks.runtime import Progress, seed_for
from tasks.searchers.evaluator import MaskEvaluator
from tasks.searchers.journal import open_journal
from tasks.searchers.samplers import make_sampler
from tasks.searchers.space import decode, distributions, encode, suggest
from tasks.sections import Search

SOURCE = "source"

log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What a study has to do: proposals first, then every mask or the sampler."""

    name: str  # of the study; holds a fingerprint, so that a changed model starts a new one
    num_blocks: int
    sizes: list[int]
    proposals: list[tuple[str, Mask]]  # source, mask
    costs: list[float]  # by number of kept blocks
    seed: int

    def is_exhaustive(self, options: Search) -> bool:
        """Whether all masks of the wanted sizes are few enough to measure each."""
        return count_masks(self.sizes, self.num_blocks) <= options.exhaustive_limit

    def all_proposals(self, options: Search) -> list[tuple[str, Mask]]:
        """Different masks to measure before any sampler is asked, in a fixed order."""
        proposals = list(self.proposals)
        if self.is_exhaustive(options):
            blocks = range(self.num_blocks)
            for size in self.sizes:
                masks = itertools.combinations(blocks, size)
                proposals += [("exhaustive", mask) for mask in masks]
        first: dict[Mask, str] = {}
        for source, mask in proposals:
            first.setdefault(mask, source)
        return [(source, mask) for mask, source in first.items()]


def run_study(
    plan: Plan, options: Search, evaluator: MaskEvaluator, journal: Path, what: str
) -> pd.DataFrame:
    """Runs the study, or resumes it, and returns its trials.

    A trial is complete or it does not count: one that a kill interrupted is failed at the next
    start and its number taken again, so a resumed study equals an uninterrupted one.

    Returns:
        One row per complete trial: number, keep, num_kept, source, valid_mse, cost.
    """
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    storage = open_journal(journal)
    study = optuna.create_study(
        study_name=plan.name,
        storage=storage,
        directions=["minimize", "minimize"],
        load_if_exists=True,
    )
    _fail_interrupted(study)
    done = _complete(study)
    for trial in done:
        evaluator.memo[decode(trial.params, plan.num_blocks)] = trial.values[0]
    if done:
        log.info("%s: resumed with %d trials", what, len(done))
    proposals = plan.all_proposals(options)
    exhaustive = plan.is_exhaustive(options)
    total = len(proposals) if exhaustive else max(options.trials, len(proposals))
    with Progress(what, total) as progress:
        for number in range(len(done), total):
            if number < len(proposals):
                value = _measure_proposal(study, plan, proposals[number], evaluator)
            else:
                value = _measure_sample(study, plan, options, number, evaluator)
            progress.update(number + 1, f"valid_mse {value:.4f}")
    return trials_frame(_complete(study), plan.num_blocks)


def _complete(study: optuna.Study) -> list[FrozenTrial]:
    return study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))


def _fail_interrupted(study: optuna.Study) -> None:
    for trial in study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
        study.tell(trial.number, state=TrialState.FAIL)


def _measure_proposal(
    study: optuna.Study, plan: Plan, proposal: tuple[str, Mask], evaluator: MaskEvaluator
) -> float:
    source, mask = proposal
    error = evaluator.error(mask)
    study.add_trial(
        create_trial(
            params=encode(mask, plan.num_blocks),
            distributions=distributions(plan.sizes, plan.num_blocks),
            values=[error, plan.costs[len(mask)]],
            user_attrs={SOURCE: source},
        )
    )
    return error


def _measure_sample(
    study: optuna.Study, plan: Plan, options: Search, number: int, evaluator: MaskEvaluator
) -> float:
    study.sampler = make_sampler(options.sampler, seed_for(plan.seed, "trial", number))
    trial = study.ask()
    mask = suggest(trial, plan.sizes, plan.num_blocks)
    error = evaluator.error(mask)
    trial.set_user_attr(SOURCE, options.sampler)
    study.tell(trial, [error, plan.costs[len(mask)]])
    return error


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
            }
        )
    return pd.DataFrame(rows)


def pareto_front(trials: pd.DataFrame) -> pd.DataFrame:
    """The trials that no other beats in both cost and error, cheapest first."""
    ordered = trials.sort_values(["cost", "valid_mse", "number"], kind="stable")
    best = ordered["valid_mse"].cummin().shift(fill_value=float("inf"))
    front = ordered[ordered["valid_mse"] < best]
    return front[["num_kept", "cost", "valid_mse", "keep"]].reset_index(drop=True)

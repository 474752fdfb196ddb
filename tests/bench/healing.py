"""`make healing-table`: every healing option against plain healing, at an equal number of steps.

The stages pretrain a foundation model once (foundation-nano of the preset `real`: context 512,
horizon 96); for every dataset and seed they specialise it with all rows and score it. A quarter, a
third and half of its blocks are kept by a fixed rule, and every option heals that mask on the same
batches. The teacher is the full model tuned on with as many steps in the ways of `healing.options`,
the best of them, as in a run. Compared is the validation error at the end; the test range is not
read. What is measured is kept in tests/bench/healing.csv, under version control as it takes hours,
and not measured again; a cell that was interrupted goes on where it was. Two processes with
different datasets may share the work of two cores.
"""

import argparse
import contextlib
import logging
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from itertools import groupby
from pathlib import Path

from tasks.artifacts.scoring import Scores
from tasks.masks.mask import Mask, even_mask, format_mask, sizes_of, top_mask
from tasks.params import Params, load_params
from tasks.runtime import set_threads
from tasks.training.healing import HealingJob
from tasks.training.loop import validation_mse
from tasks.training.options import HealingOption, healing_option
from tasks.training.state import fingerprint
from tests.bench.entries import native_entry
from tests.bench.healing_models import (
    DATASETS,
    MODEL,
    SCORE,
    SEEDS,
    make_cell_healer,
    make_full_model,
    workspace,
)
from tests.bench.healing_table import (
    add_rows,
    as_text,
    compare,
    lean,
    marks_of_cell,
    read_rows,
)

SHARES = (0.25, 0.34, 0.5)
STEPS = 400
MASKS = (SCORE, "even")
NAMES = (
    "plain@8", "distilled@8", "hidden@8", "hidden_cut@8", "iterative@8", "iterative+distilled@8",
    "kept_only@8", "head_last@8", "distilled=0.9@8", "hidden_cut=0.9@8",
    "plain", "hidden_cut=0.9", "hidden_cut=0.9@16",
)  # fmt: skip
SEAM = "seam+"  # before the name: its cuts are repaired first
REPAIRED = ("plain@8", "distilled@8")
LONGER = {"plain@8, 1.75 x steps": ("plain@8", 1.75)}  # plain in the time of `distilled`
TEACHER = "tuned on with a teacher"  # part of the marks: rows of other teachers are measured anew
RESULTS = Path("tests/bench/healing.csv")


@dataclass(frozen=True)
class Cell:
    """One full model and one mask, to be healed by every option."""

    dataset: str
    num_kept: int
    mask: str  # how it is chosen
    seed: int
    steps: int


def options_of(params: Params) -> dict[HealingOption, float]:
    """All options of the table, each with its share of the table's steps."""
    options = {healing_option(name, params.healing): 1.0 for name in NAMES}
    for name in REPAIRED:
        option = healing_option(name, params.healing)
        options[replace(option, name=SEAM + name, seam_repair=True)] = 1.0
    for name, (base, share) in LONGER.items():
        options[replace(healing_option(base, params.healing), name=name)] = share
    return options


def default_name(params: Params) -> str:
    """The row of the table that the default of params.yaml is: the option the search heals by."""
    option = params.healing.options[-1]
    return SEAM + option if params.healing.seam_repair else option


def mask_of(cell: Cell, scores: Scores) -> Mask:
    """The blocks that are kept."""
    if cell.mask == "even":
        return even_mask(scores.num_blocks, cell.num_kept)
    return top_mask(scores.scores[cell.mask].values, cell.num_kept)


def mark_of(option: HealingOption, steps: float, params: Params, root: Path) -> str:
    """Says whether a row that is already there was measured with the same settings."""
    shared = params.healing.model_dump(exclude={"steps", "options", "replay", "scratch"})
    settings = (option, steps, shared, root.parent.name, "last weights", TEACHER)
    return fingerprint(settings, [])[:16]


def missing_options(
    cell: Cell, params: Params, root: Path, results: Path
) -> dict[HealingOption, float]:
    """The options of a cell that are not measured yet."""
    known = marks_of_cell(read_rows(results), asdict(cell))
    return {
        option: share
        for option, share in options_of(params).items()
        if known.get(option.name) != mark_of(option, share, params, root)
    }


def measure(cell: Cell, params: Params, root: Path, results: Path) -> None:
    """Heals one cell by every option that is not measured yet, and writes its rows."""
    missing = missing_options(cell, params, root, results)
    scores = Scores.read(Path("scores") / cell.dataset / f"{MODEL}.json")
    keep = mask_of(cell, scores)
    healer = make_cell_healer(params, cell.dataset, steps=cell.steps)
    valid = healer.data.valid.to(next(healer.full.parameters()).device)
    with healer.full.only(keep):
        unhealed = validation_mse(healer.full, valid)
    shared = asdict(cell) | {
        "keep": format_mask(keep),
        "full_valid_mse": validation_mse(healer.teacher, valid),
        "unhealed_valid_mse": unhealed,
    }
    name = f"{cell.dataset}-{cell.mask}-{cell.num_kept}-{cell.steps}"
    for share, group in groupby(missing, key=missing.__getitem__):
        options = list(group)
        healed = healer.heal(
            [HealingJob(option.name, keep, option) for option in options],
            steps=round(share * cell.steps),
            state_folder=Path(".state/heal") / f"{name}-{share:g}",
            what=f"seed {cell.seed} {name}",
        )
        rows = [
            shared
            | {
                "option": student.name,
                "valid_mse": student.best_valid,
                "best_step": student.best_step,
                "seconds": student.seconds,
                "mark": mark_of(option, share, params, root),
            }
            for option, student in zip(options, healed.students, strict=True)
        ]
        add_rows(results, rows)
        healed.discard_state()


def measure_all(
    project: Path, *, datasets: Sequence[str], seeds: Sequence[int], mask: str, steps: int
) -> None:
    """Measures all cells, seed by seed, so that every dataset is in the table early."""
    results = (project / RESULTS).resolve()
    for seed in seeds:
        root, params = workspace(project, seed)
        sizes = sizes_of(SHARES, native_entry(params, MODEL)[1].blocks)
        for dataset in datasets:
            cells = [
                Cell(dataset=dataset, num_kept=size, mask=mask, seed=seed, steps=steps)
                for size in sizes
            ]
            cells = [cell for cell in cells if missing_options(cell, params, root, results)]
            if cells:
                make_full_model(project, root, params, dataset)
            for cell in cells:
                with contextlib.chdir(root):
                    measure(cell, params, root, results)


def main() -> None:
    """Measures what is missing and prints the table."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.healing", description=__doc__)
    parser.add_argument("--datasets", nargs="+", default=list(DATASETS), choices=DATASETS)
    parser.add_argument("--seeds", nargs="+", type=int, default=list(SEEDS))
    parser.add_argument("--mask", default=MASKS[0], choices=MASKS)
    parser.add_argument("--steps", type=int, default=STEPS)
    parser.add_argument("--table", action="store_true", help="print the table, measure nothing")
    args = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    set_threads(1)
    if not args.table:
        measure_all(
            Path.cwd(), datasets=args.datasets, seeds=args.seeds, mask=args.mask, steps=args.steps
        )
    rows = read_rows(RESULTS)
    chosen = rows[(rows["steps"] == args.steps) & (rows["mask"] == args.mask)]
    if chosen.empty:
        print(f"{RESULTS} holds no rows of {args.steps} steps and masks by {args.mask}")
        return
    print(as_text(compare(chosen)))
    tried = [one for one in load_params().healing.options if one in set(chosen["option"])]
    if len(tried) > 1 and chosen["seed"].nunique() > 1:
        print(
            f"\nA mask healed by what was best for another one, as in the null panel, of "
            f"{', '.join(tried)}: {lean(chosen, tried):+.2%} above its own best."
        )


if __name__ == "__main__":
    main()

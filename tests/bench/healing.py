"""`make healing-table`: every healing option against plain healing, at an equal number of steps.

The stages pretrain a foundation model once (foundation-nano of the preset `real`: context 512,
horizon 96); for every dataset and seed they specialise it with all rows and score it. A quarter, a
third and half of its blocks are kept by a fixed rule, and every option heals that mask on the same
batches. The teacher is the full model with as many extra steps, as in the stage `prune`. Compared
is the best validation error; the test range is not read. A cell that is done is kept in
reports/healing.csv and not measured again; one that was interrupted goes on where it was. Two
processes with different datasets may share the work of two cores.
"""

import argparse
import contextlib
import logging
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from filelock import FileLock

from flows.environment import stage_environment, state_folder
from flows.workspace import sync_folder
from tasks.artifacts.files import write_text
from tasks.artifacts.scoring import Scores
from tasks.artifacts.training import StartSummary
from tasks.data.fetch import fetch, has_raw
from tasks.masks.mask import Mask, even_mask, format_mask, sizes_of, top_mask
from tasks.models.registry import load_model
from tasks.params import Params, load_preset, merge, validate_params, yaml_text
from tasks.runtime import pick_device, set_threads
from tasks.training.healing import Healer, HealingJob, make_healer, save_control
from tasks.training.loop import validation_mse
from tasks.training.options import HealingOption, healing_option
from tasks.training.state import fingerprint
from tests.bench.healing_table import add_rows, as_text, compare, marks_of_cell, read_rows

PRESET, MODEL, BASE, MIX = "real", "foundation-nano-all", "foundation-nano", "corpus"
PRETRAINED = Path("data/pretrained")
DATASETS = ("etth1", "etth2", "ettm1", "ettm2", "weather", "exchange_rate")
SEEDS = (0, 1, 2)
SHARES = (0.25, 0.34, 0.5)
STEPS = 400
MASKS = ("block_influence", "even")
NAMES = (
    "plain", "distilled", "hidden", "hidden_cut", "iterative", "iterative+distilled", "kept_only",
    "head_last",
)  # fmt: skip
SEAM = {"seam": "plain", "seam+distilled": "distilled", "seam+hidden": "hidden"}
RESULTS = Path("reports/healing.csv")


@dataclass(frozen=True)
class Cell:
    """One full model and one mask, to be healed by every option."""

    dataset: str
    num_kept: int
    mask: str  # how it is chosen
    seed: int
    steps: int


def options_of(params: Params) -> list[HealingOption]:
    """All options of the table."""
    options = [healing_option(name, params.healing) for name in NAMES]
    repaired = [
        replace(healing_option(base, params.healing), name=name, seam_repair=True)
        for name, base in SEAM.items()
    ]
    return options + repaired


def default_name(params: Params) -> str:
    """The row of the table that the default of params.yaml is: the option the search heals by."""
    option = params.healing.options[-1]
    repaired = {base: name for name, base in SEAM.items()}
    return repaired.get(option, f"seam+{option}") if params.healing.seam_repair else option


def workspace(project: Path, seed: int) -> tuple[Path, Params]:
    """A folder with the params.yaml of one seed; its name holds what the full models depend on."""
    run = {"datasets": list(DATASETS), "models": {MODEL: BASE}, "pretrain": {BASE: MIX}}
    scoring = {"scores": [MASKS[0]], "sensitivity": {"windows": []}}
    changes = {"seed": seed, "run": run, "scoring": scoring}
    content = merge(load_preset(project / "params.yaml", PRESET), changes)
    params = validate_params(content, f"preset {PRESET}, seed {seed}")
    entries = [params.models[name] for name in (BASE, MODEL)]
    scales = [params.scales[entry.scale] for entry in entries]
    parts = (params.training, entries, scales, params.windows, params.scoring, params.mixes[MIX])
    mark = fingerprint(parts, [])[:12]
    root = state_folder(project) / "bench" / "healing" / mark / f"seed-{seed}"
    write_text(root / "params.yaml", yaml_text(content))
    return root, params


def run_stages(project: Path, root: Path, stages: Sequence[tuple[str, list[str], str]]) -> None:
    """Runs those of the stages (module, arguments, what it makes last) that have not run yet."""
    for stage, selected, made in stages:
        if not (root / made).is_file():
            subprocess.run(
                [sys.executable, "-m", f"tasks.{stage}", *selected],
                cwd=root,
                env=stage_environment(1) | {"PYTHONPATH": str(project)},
                check=True,
            )


def pretrain(project: Path) -> Path:
    """Pretrains the foundation model, once for all seeds; returns its folder."""
    root, params = workspace(project, SEEDS[0])
    members = params.mixes[MIX].members
    with FileLock(root / "pretrain.lock"):
        for name in members:
            if not has_raw(root, name):
                fetch(root, name, params.datasets)
        run_stages(
            project,
            root,
            [
                *(
                    ("prepare", ["--dataset", name], f"data/prepared/{name}/profile.json")
                    for name in members
                ),
                ("mix", ["--mix", MIX], f"data/mixes/{MIX}.json"),
                ("start", ["--model", BASE], f"models/start/{BASE}/start.json"),
                (
                    "pretrain",
                    ["--model", BASE, "--mix", MIX],
                    f"timings/pretrain/{BASE}.json",
                ),
            ],
        )
    return root / PRETRAINED / BASE


def make_full_model(project: Path, root: Path, params: Params, dataset: str) -> None:
    """Runs the ordinary stages up to the scores, those that have not run yet."""
    if not has_raw(root, dataset):
        fetch(root, dataset, params.datasets)
    pair = ["--dataset", dataset, "--model", MODEL]
    with FileLock(root / "start.lock"):
        sync_folder(pretrain(project), root / PRETRAINED / BASE)
        run_stages(project, root, [("start", pair[2:], f"models/start/{MODEL}/start.json")])
    run_stages(
        project,
        root,
        [
            ("prepare", pair[:2], f"data/prepared/{dataset}/profile.json"),
            ("train", pair, f"timings/train/{dataset}/{MODEL}.json"),
            ("score", pair, f"timings/score/{dataset}/{MODEL}.json"),
        ],
    )


def mask_of(cell: Cell, scores: Scores) -> Mask:
    """The blocks that are kept."""
    if cell.mask == "even":
        return even_mask(scores.num_blocks, cell.num_kept)
    return top_mask(scores.scores[cell.mask].values, cell.num_kept)


def make_cell_healer(params: Params, cell: Cell, scores: Scores) -> Healer:
    """The healer of a cell, with the better full model as teacher; works in the cell's workspace.

    The full model with extra steps is made once for all sizes of a dataset and seed.
    """
    full = load_model(Path("models/full") / cell.dataset / MODEL)
    full = full.to(pick_device(params.runtime.device))
    start = StartSummary.read(Path("models/start") / MODEL / "start.json")
    healer = make_healer(
        params,
        cell.dataset,
        MODEL,
        full=full,
        teacher=full,
        rate=start.scale.learning_rate,
        scores=scores,
    )
    folder = Path("models/extra") / f"{cell.dataset}-{cell.steps}"
    if not (folder / "control.json").is_file():
        everything = tuple(range(full.num_blocks))
        job = HealingJob("full_extra", everything, healing_option("plain", params.healing))
        state = Path(".state/heal") / f"{cell.dataset}-extra-{cell.steps}"
        healed = healer.heal(
            [job], steps=cell.steps, state_folder=state, what=f"seed {cell.seed} {state.name}"
        )
        save_control(folder, healed.students[0], everything, healed.precision)
        healed.discard_state()
    teacher = load_model(folder).to(pick_device(params.runtime.device))
    return replace(healer, teacher=teacher)


def mark_of(option: HealingOption, keep: Mask, healer: Healer) -> str:
    """Says whether a row that is already there was measured with the same settings and model."""
    healing = healer.healing
    seam = (healing.seam_windows, healing.seam_ridge) if option.seam_repair else ()
    settings = (option, keep, healer.recipe, healer.rate, seam)
    weights = [*healer.full.state_dict().values(), *healer.teacher.state_dict().values()]
    return fingerprint(settings, weights)[:16]


def measure(cell: Cell, params: Params, results: Path) -> None:
    """Heals one cell by every option that is not measured yet, and writes its rows."""
    scores = Scores.read(Path("scores") / cell.dataset / f"{MODEL}.json")
    keep, healer = mask_of(cell, scores), make_cell_healer(params, cell, scores)
    marks = {option.name: mark_of(option, keep, healer) for option in options_of(params)}
    known = marks_of_cell(read_rows(results), asdict(cell))
    options = [o for o in options_of(params) if known.get(o.name) != marks[o.name]]
    if not options:
        return
    name = f"{cell.dataset}-{cell.mask}-{cell.num_kept}-{cell.steps}"
    healed = healer.heal(
        [HealingJob(option.name, keep, option) for option in options],
        steps=cell.steps,
        state_folder=Path(".state/heal") / name,
        what=f"seed {cell.seed} {name}",
    )
    valid = healer.data.valid.to(next(healer.full.parameters()).device)
    with healer.full.only(keep):
        unhealed = validation_mse(healer.full, valid)
    shared = asdict(cell) | {
        "keep": format_mask(keep),
        "full_valid_mse": validation_mse(healer.teacher, valid),
        "unhealed_valid_mse": unhealed,
    }
    rows = [
        shared
        | {
            "option": student.name,
            "valid_mse": student.best_valid,
            "best_step": student.best_step,
            "seconds": student.seconds,
            "mark": marks[student.name],
        }
        for student in healed.students
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
        for dataset in datasets:
            make_full_model(project, root, params, dataset)
            num_blocks = params.scales[params.models[MODEL].scale].blocks
            for size in sizes_of(SHARES, num_blocks):
                cell = Cell(dataset=dataset, num_kept=size, mask=mask, seed=seed, steps=steps)
                with contextlib.chdir(root):
                    measure(cell, params, results)


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


if __name__ == "__main__":
    main()

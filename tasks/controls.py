"""Stage `controls`: the null panel, healed exactly as the pruned model was."""

import shutil
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from tasks.artifacts.files import link_or_copy
from tasks.artifacts.training import PruneSummary, StartSummary, TrainingSummary
from tasks.masks.mask import Mask, even_mask, first_mask, last_mask, random_masks
from tasks.models.base import ForecastModel
from tasks.models.build import build_model
from tasks.models.native import NativeModel
from tasks.models.registry import load_in_units, load_model
from tasks.models.sublayers import shape_as, stored_depth
from tasks.params import Params
from tasks.runtime import load_selected, pick_device, run_stage, seed_for, stage_parser
from tasks.sections.models import ModelEntry, RandomStart, Scale
from tasks.training.fit import write_timing
from tasks.training.healing import HealingJob, make_healer, save_control
from tasks.training.options import healing_option
from tasks.training.recipe import Student
from tasks.training.rivals import best_rival, trained_anew


def panel_masks(num_blocks: int, size: int, count: int, seed: int) -> dict[str, Mask]:
    """The masks of the null panel by name."""
    drawn = random_masks(num_blocks, size, count, np.random.default_rng(seed))
    return {f"random_{number}": mask for number, mask in enumerate(drawn)} | {
        "first": first_mask(num_blocks, size),
        "last": last_mask(num_blocks, size),
        "even": even_mask(num_blocks, size),
        "zero": (),
    }


def scratch_model(
    params: Params, model: str, scale: Scale | None, rival: ForecastModel
) -> ForecastModel:
    """A model of the same family and shape as the pruned `rival` with random weights.

    Where the entry's backbone is pretrained text (llm4ts), the shallow rival is the plain
    trainable architecture: random attention and MLP that stay frozen would be no rival.
    """
    seed = seed_for(params.seed, "scratch", model)
    own = params.models[model]
    if scale is None or not isinstance(own, ModelEntry):
        return rival.with_random_weights(seed)
    assert isinstance(rival, NativeModel)
    entry = own.model_copy(update={"start": RandomStart(kind="random"), "family": "tsfm"})
    shallow = scale.model_copy(update={"blocks": stored_depth(rival)})
    built, _ = build_model(entry, shallow, params.windows, seed=seed, pretrained=Path())
    assert isinstance(built, NativeModel)
    return shape_as(built, rival)


def from_scratch(rivals: Sequence[Student]) -> list[Student]:
    """The best of the models from scratch; those with replay, which saw other data, by themselves.

    `scratch` saw the dataset alone, `scratch_replay` the mix as well. Where every way of
    `healing.scratch` replays there is one, `scratch`, which saw the mix.
    """
    alone = [student for student in rivals if not student.replay]
    others = [student for student in rivals if student.replay]
    if not alone:
        return [best_rival(others, "scratch")]
    best = [best_rival(alone, "scratch")]
    return [*best, best_rival(others, "scratch_replay")] if others else best


def main(argv: list[str]) -> None:
    """models/full, prune.json and search/.../full_extra -> models/controls/DATASET/MODEL/NAME."""
    parser = stage_parser(
        "tasks.controls", "Makes and heals the null panel.", selects=["dataset", "model"]
    )
    args = parser.parse_args(argv)
    params = load_selected(datasets=[args.dataset], models=[args.model])
    pair, started, healing = f"{args.dataset}/{args.model}", time.perf_counter(), params.healing
    start = StartSummary.read(Path("models/start") / args.model / "start.json")
    pruned = PruneSummary.read(Path("models/pruned") / pair / "prune.json")
    trained = TrainingSummary.read(Path("models/full") / pair / "training.json")
    device = pick_device(params.runtime.device)
    full = load_in_units(Path("models/full") / pair, pruned.granularity, device)
    masks = panel_masks(
        full.num_blocks,
        len(pruned.keep),
        params.controls.random_masks,
        seed_for(params.seed, "panel", pair),
    )
    teacher = load_model(Path("search") / pair / "full_extra", device)
    healer = make_healer(params, args.dataset, args.model, full=full, teacher=teacher)
    option = healing_option(pruned.chosen, healing)
    shallow = scratch_model(params, args.model, start.scale, full.with_blocks(pruned.keep))
    rivals = trained_anew(healer, shallow.to(device), trained.steps_run + healing.steps)
    healed = healer.heal(
        [HealingJob(name, mask, option) for name, mask in masks.items()],
        steps=healing.steps,
        state_folder=Path(".state/controls") / pair,
        what=f"controls {pair}",
        rivals=rivals,
    )
    folder = Path("models/controls") / pair
    for student in (*healed.students, *from_scratch(rivals)):
        save_control(folder / student.name, student, masks.get(student.name), healed.precision)
    shutil.copytree(
        Path("search") / pair / "full_extra",
        folder / "full_extra",
        copy_function=link_or_copy,
        dirs_exist_ok=True,
    )
    write_timing("controls", pair, started)
    healed.discard_state()


if __name__ == "__main__":
    run_stage(main)

"""The full models of the healing table: trained by the ordinary stages, a folder per seed."""

import subprocess
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from filelock import FileLock

from flows.environment import stage_environment, state_folder
from tasks.artifacts.files import write_text
from tasks.artifacts.folders import sync_folder
from tasks.data.fetch import fetch, has_raw
from tasks.models.registry import load_model
from tasks.params import Params, validate_params, yaml_text
from tasks.presets import load_preset, merge, only_models
from tasks.runtime import pick_device
from tasks.training.healing import Healer, make_healer, save_control
from tasks.training.rivals import best_rival, tuned_on
from tasks.training.state import fingerprint
from tests.bench.entries import native_entry

PRESET, MODEL, BASE, MIX = "real", "foundation-nano-all", "foundation-nano", "corpus"
PRETRAINED = Path("data/pretrained")
DATASETS = ("etth1", "etth2", "ettm1", "ettm2", "weather", "exchange_rate")
SEEDS = (0, 1, 2)
SCORE = "block_influence"


def workspace(project: Path, seed: int) -> tuple[Path, Params]:
    """A folder with the params.yaml of one seed; its name holds what the full models depend on."""
    path, where = project / "params.yaml", f"preset {PRESET}"
    scoring = {"scores": [SCORE], "sensitivity": {"windows": []}}
    changes = {"seed": seed, "run": {"datasets": list(DATASETS)}, "scoring": scoring}
    content = merge(only_models(load_preset(path, PRESET), [MODEL], where), changes)
    params = validate_params(content, f"{where}, seed {seed}")
    entries, scales = zip(*(native_entry(params, name) for name in (BASE, MODEL)), strict=True)
    trainings = [
        params.training_of(name, scale_rate=scale.learning_rate)
        for name, scale in zip((BASE, MODEL), scales, strict=True)
    ]
    parts = (trainings, list(entries), list(scales), params.windows, params.mixes[MIX])
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


def make_cell_healer(params: Params, dataset: str, *, steps: int) -> Healer:
    """The healer of a dataset, taught by the full model tuned on by `healing.options`.

    The working folder is the workspace. The teacher gets as many steps, once for all sizes.
    """
    full = load_model(Path("models/full") / dataset / MODEL)
    full = full.to(pick_device(params.runtime.device))
    healer = make_healer(params, dataset, MODEL, full=full, teacher=full)
    folder = Path("models/full_extra") / f"{dataset}-{steps}"
    if not (folder / "control.json").is_file():
        extras = tuned_on(healer, steps)
        state = Path(".state/heal") / f"{dataset}-full-extra-{steps}"
        healed = healer.heal(
            [],
            rivals=extras,
            steps=steps,
            state_folder=state,
            what=f"seed {params.seed} {state.name}",
        )
        extra = best_rival(extras, "full_extra")
        save_control(folder, extra, range(full.num_blocks), healed.precision)
        healed.discard_state()
    teacher = load_model(folder, pick_device(params.runtime.device))
    return replace(healer, teacher=teacher)

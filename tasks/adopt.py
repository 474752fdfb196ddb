"""Stage `adopt`: imports a checkpoint, to be tuned per dataset by `train` or pruned as it is."""

from pathlib import Path

import torch

from tasks.artifacts.training import StartSummary
from tasks.models.build import build_model
from tasks.models.parent import parent_of
from tasks.runtime import load_selected, run_stage, seed_for, stage_parser
from tasks.sections.models import FolderStart, HubStart
from tasks.training.replay import save_replay


def main(argv: list[str]) -> None:
    """A checkpoint's folder, or the hub -> data/pretrained/MODEL/."""
    parser = stage_parser("tasks.adopt", "Imports a checkpoint.", selects=["model"])
    name = parser.parse_args(argv).model
    params = load_selected(models=[name])
    entry, folder = params.models[name], Path("data/pretrained") / name
    scale = params.scale_of(name)
    seed = seed_for(params.seed, "start", name)
    model, hashes = build_model(entry, scale, params.windows, seed=seed, pretrained=folder)
    model.save(folder)
    save_replay(folder, torch.empty(0, params.windows.context + params.windows.horizon))
    assert isinstance(entry.start, (FolderStart, HubStart))
    StartSummary(
        origin=model.config.origin,
        scale=scale,
        learning_rate=params.rate_of(name),
        source_sha256=hashes,
        parent=parent_of(entry.start, hashes),
    ).write(folder / "start.json")


if __name__ == "__main__":
    run_stage(main)

"""Stages `start`, `base` and `adopt`: resolve a model entry into a model folder."""

from collections.abc import Mapping
from pathlib import Path

import torch

from tasks.artifacts.training import ParentModel, StartSummary
from tasks.models.build import build_model
from tasks.models.parent import parent_of
from tasks.runtime import load_selected, run_stage, seed_for, stage_parser
from tasks.sections.models import FolderStart, HubStart, PretrainedStart, Start
from tasks.training.replay import load_replay, save_replay


def _parent(start: Start | None, hashes: Mapping[str, str]) -> ParentModel | None:
    """The checkpoint that the weights come from: the entry's own, or that of its import."""
    if isinstance(start, (FolderStart, HubStart)):
        return parent_of(start, hashes)
    if isinstance(start, PretrainedStart):
        imported = Path("data/pretrained") / start.model / "start.json"
        return StartSummary.read(imported).parent if imported.is_file() else None
    return None


def main(argv: list[str]) -> None:
    """params.yaml, and data/pretrained/ or a checkpoint -> models/start/MODEL/."""
    parser = stage_parser("tasks.start", "Writes the first weights of a model.", selects=["model"])
    parser.add_argument(
        "--into",
        type=Path,
        default=Path("models/start"),
        metavar="FOLDER",
        help="folder of models; data/pretrained for what others start from (default: %(default)s)",
    )
    args = parser.parse_args(argv)
    name = args.model
    params = load_selected(models=[name])
    entry = params.models[name]
    scale = params.scale_of(name)
    model, hashes = build_model(
        entry,
        scale,
        params.windows,
        seed=seed_for(params.seed, "start", name, params.windows.horizon),
        pretrained=Path("data/pretrained"),
    )
    folder = args.into / name
    model.save(folder)
    if isinstance(entry.start, PretrainedStart):
        kept = load_replay(Path("data/pretrained") / entry.start.model)
    else:
        kept = torch.empty(0, params.windows.context + params.windows.horizon)
    save_replay(folder, kept)
    StartSummary(
        origin=model.config.origin,
        scale=scale,
        learning_rate=params.rate_of(name),
        source_sha256=hashes,
        parent=_parent(entry.start, hashes),
    ).write(folder / "start.json")


if __name__ == "__main__":
    run_stage(main)

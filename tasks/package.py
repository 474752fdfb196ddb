"""Stage `package`: a pruned model in the form that its own library loads, with a model card."""

import hashlib
import json
import logging
from pathlib import Path

from tasks.artifacts.data import Profile
from tasks.artifacts.evaluation import Evaluation, Measurement
from tasks.artifacts.files import sha256_of, write_text
from tasks.artifacts.training import ControlSummary, PruneSummary, StartSummary, TrainingSummary
from tasks.figures.card import Facts, model_card
from tasks.metrics.checks import fit_of
from tasks.models.checkpoint import folder_config
from tasks.models.publish import loader_of, publish
from tasks.runtime import load_selected, run_stage, stage_parser

log = logging.getLogger(__name__)


def data_files(folder: Path) -> dict[str, str]:
    """The sha256 of every file of a dataset, by its path in the folder; hidden ones left out."""
    paths = [path for path in sorted(folder.rglob("*")) if path.is_file()]
    return {
        path.relative_to(folder).as_posix(): sha256_of(path)
        for path in paths
        if not path.name.startswith(".")
    }


def main(argv: list[str]) -> None:
    """models/pruned/DATASET/MODEL + its results -> models/published/DATASET/MODEL."""
    parser = stage_parser(
        "tasks.package", "Writes a pruned model for publishing.", selects=["dataset", "model"]
    )
    args = parser.parse_args(argv)
    params = load_selected(datasets=[args.dataset], models=[args.model])
    pair = f"{args.dataset}/{args.model}"
    folder, out = Path("models/pruned") / pair, Path("models/published") / pair
    loader, config = loader_of(folder), folder_config(folder)
    data = data_files(Path("data/raw") / args.dataset)
    evaluation = Evaluation.read(Path("evaluation") / pair / "evaluation.json")
    extra = ControlSummary.read(Path("models/controls") / pair / "full_extra/control.json")
    full = TrainingSummary.read(Path("models/full") / pair / "training.json")
    training = params.training_of(args.model, scale_rate=full.learning_rate)
    facts = Facts(
        evaluation=evaluation,
        measurement=Measurement.read(Path("measurements") / f"{pair}.json"),
        prune=PruneSummary.read(folder / "prune.json"),
        start=StartSummary.read(Path("models/start") / args.model / "start.json"),
        library=loader.library,
        code=loader.lines(out.as_posix(), int(config["context"]), int(config["horizon"])),
        context=int(config["context"]),
        horizon=int(config["horizon"]),
        profile=Profile.read(Path("data/prepared") / args.dataset / "profile.json"),
        train_share=training.train_share,
        fit=fit_of(full, extra.training, extra_is_better=evaluation.full_is == "full_extra"),
        data=data,
        data_version=hashlib.sha256(json.dumps(data).encode()).hexdigest(),
    )
    publish(folder, out, loader)
    write_text(out / "README.md", model_card(facts))
    log.info("package %s: %s, for %s", pair, out, loader.library)


if __name__ == "__main__":
    run_stage(main)

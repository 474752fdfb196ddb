"""Brings a published model in: a checkpoint is found, loaded once, and entered in params.yaml."""

from dataclasses import dataclass
from pathlib import Path

import torch
from pydantic import TypeAdapter, ValidationError

from flows.errors import FlowError
from tasks.errors import CheckpointError, ParamsError
from tasks.models.base import ForecastModel
from tasks.models.build import build_model
from tasks.models.detect import family_in, family_named
from tasks.models.register import names_of, register_checkpoint
from tasks.models.upstream import commit_of, fetch
from tasks.params import load_params
from tasks.sections.data import Windows
from tasks.sections.models import FolderStart, HubId, HubStart
from tasks.sections.zoo import ZooEntry


@dataclass(frozen=True, kw_only=True)
class Added:
    """What came in: the entries made, and what the checkpoint holds."""

    names: list[str]
    family: str
    blocks: dict[str, int]  # by stack
    parameters: int
    block_parameters: int

    def told(self) -> str:
        """One sentence about the checkpoint."""
        stacks = ", ".join(f"{size} in {stack}" for stack, size in self.blocks.items())
        share = self.block_parameters / self.parameters
        return (
            f"{self.names[0]}: {self.family}, {sum(self.blocks.values())} blocks ({stacks}), "
            f"{self.parameters / 1e6:.1f} M parameters, {share:.0%} of them in blocks"
        )


def add_model(
    root: Path,
    name: str,
    source: str,
    *,
    family: str | None = None,
    revision: str | None = None,
    hub_id: str | None = None,
    as_it_is: bool = False,
) -> Added:
    """Adds a checkpoint, or changes nothing.

    Args:
        root: the project.
        name: of the checkpoint's entry; what is tuned and pruned is NAME-tuned.
        source: a local folder, or an id on the Hugging Face hub.
        family: None: told from the checkpoint's config.json.
        revision: commit of a hub id; None: the newest, which is looked up and pinned.
        hub_id: of the model on the hub that a local folder is, for the model card.
        as_it_is: also enters NAME-as-is, pruned without tuning the full model first.

    Raises:
        ParamsError: the name or an option breaks a rule.
        CheckpointError: the checkpoint cannot be had, or is not one of its family.
        FlowError: there is no such folder.
    """
    params_path = root / "params.yaml"
    windows = load_params(params_path).windows
    names_of(params_path, name, as_it_is=as_it_is)
    named = None if family is None else family_named(family)
    start = _start(root, source, revision, hub_id)
    folder = fetch(start) if isinstance(start, HubStart) else root / start.path
    known = named or family_in(folder)
    there = FolderStart(kind="folder", path=str(folder))
    model = _loaded(ZooEntry(family=known, start=there), windows)
    sizes = zip(model.stacks, model.stack_sizes, strict=True)
    counts = model.parameter_counts()
    names = register_checkpoint(params_path, name, known, start, as_it_is=as_it_is)
    return Added(
        names=names,
        family=known,
        blocks={stack.path: size for stack, size in sizes},
        parameters=counts["all"],
        block_parameters=counts["blocks"],
    )


def _start(
    root: Path, source: str, revision: str | None, hub_id: str | None
) -> FolderStart | HubStart:
    path = Path(source).expanduser()
    if path.is_dir():
        if revision is not None:
            raise ParamsError("--revision: belongs to a hub id; a local folder has none")
        inside = path.resolve().is_relative_to(root.resolve())
        place = path.resolve().relative_to(root.resolve()) if inside else path.resolve()
        return _checked({"kind": "folder", "path": place.as_posix(), "id": hub_id})
    if path.is_file():
        raise FlowError(f"{source}: is a file; name the folder that holds it and its config.json")
    if source.startswith((".", "~", "/")):
        raise FlowError(f"{source}: no such folder; check the path")
    try:
        TypeAdapter(HubId).validate_python(source)
    except ValidationError as error:
        raise FlowError(
            f"{source}: no such folder, and no id on the hub such as amazon/chronos-bolt-base"
        ) from error
    if hub_id is not None:
        raise ParamsError("--hub-id: belongs to a local folder; the source is a hub id itself")
    return _checked({"kind": "hub", "id": source, "revision": revision or commit_of(source)})


def _checked(fields: dict[str, str | None]) -> FolderStart | HubStart:
    kind = FolderStart if fields["kind"] == "folder" else HubStart
    try:
        return kind.model_validate(fields)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        is_commit = first["loc"][0] == "revision"
        rule = "a commit, 40 hex digits" if is_commit else "an id on the hub such as org/name"
        option = "--revision" if is_commit else "--hub-id"
        raise ParamsError(f"{option}: must be {rule}; got {first.get('input')!r}") from error


def _loaded(entry: ZooEntry, windows: Windows) -> ForecastModel:
    """The model, loaded strictly, once it has made a finite forecast. Raises CheckpointError."""
    model, _ = build_model(entry, None, windows, seed=0, pretrained=Path())
    context = torch.arange(windows.context, dtype=torch.float32)[None].sin()
    with torch.inference_mode():
        mean = model.eval().forecast(context, windows.horizon).mean
    if not bool(torch.isfinite(mean).all()):
        raise CheckpointError(f"{model.label}: its forecast is not finite; is --family right?")
    return model

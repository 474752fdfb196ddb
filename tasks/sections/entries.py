"""Which model entries a run may hold, and what each may start from."""

import difflib
import itertools
from collections.abc import Iterable, Mapping
from typing import Annotated

from pydantic import Field

from tasks.sections.data import Windows
from tasks.sections.models import FolderStart, HubStart, ModelEntry, PretrainedStart
from tasks.sections.run import NOT_LOCAL, Run
from tasks.sections.zoo import ZooEntry

AnyEntry = Annotated[ModelEntry | ZooEntry, Field(discriminator="family")]

NO_BASE = "none"  # in run.models: the model starts from no pretrained one
SHAPE = ("scale", "backbone", "head", "patch", "stride")  # of a native model


def require(where: str, names: Iterable[str], section: str, known: Iterable[str]) -> None:
    """Raises ValueError with the nearest match when a name is not among the known ones."""
    known = list(known)
    for name in names:
        if name not in known:
            near = difflib.get_close_matches(name, known, n=1)
            hint = f"; did you mean {near[0]!r}?" if near else ""
            raise ValueError(
                f"{where} names {name!r}, which is not in {section} ({', '.join(known)}){hint}"
            )


def check_models(run: Run, models: Mapping[str, AnyEntry], windows: Windows) -> None:
    """Raises ValueError unless all models of a run fit their entries, starts and windows."""
    for name in run.models:
        for kind, verb in (("pretrain", "pretrain"), ("imports", "import")):
            if name in getattr(run, kind):
                raise ValueError(
                    f"{name!r} is in run.models and in run.{kind}; {verb} one entry and name "
                    "another in run.models, with start: {kind: pretrained, model: " + name + "}"
                )
    pairs: dict[str, tuple[str, str]] = {}
    for pair in itertools.product(run.datasets, run.models):
        other = pairs.setdefault("-".join(pair), pair)
        if other != pair:
            raise ValueError(
                f"dataset {pair[0]!r} with model {pair[1]!r} and {other[0]!r} with {other[1]!r} "
                f"would be one stage, {'-'.join(pair)!r}; rename one of them"
            )
    for name in (*run.models, *run.pretrain):
        entry = models[name]
        if isinstance(entry, ZooEntry):
            _check_published(name, entry, run, models)
        else:
            _check_native(name, entry, run, models, windows)
    _check_imports(run, models)
    for name, base in run.models.items():
        start = models[name].start
        expected = start.model if isinstance(start, PretrainedStart) else NO_BASE
        if base != expected:
            raise ValueError(
                f"run.models.{name} must be {expected!r}, what models.{name}.start says; "
                f"got {base!r}"
            )


def _base_of(name: str, start: PretrainedStart, run: Run) -> str:
    known = [*run.pretrain, *run.imports]
    sections = "run.pretrain or run.imports" if run.imports else "run.pretrain"
    require(f"models.{name}.start.model", [start.model], sections, known)
    return start.model


def _check_published(name: str, entry: ZooEntry, run: Run, models: Mapping[str, AnyEntry]) -> None:
    if isinstance(entry.start, (FolderStart, HubStart)):
        raise ValueError(
            f"run.models names {name!r}, a checkpoint; name it in run.imports, and in "
            "run.models an entry with start: {kind: pretrained, model: " + name + "}"
        )
    if isinstance(entry.start, PretrainedStart):
        base = models[_base_of(name, entry.start, run)]
        if base.family != entry.family:
            raise ValueError(
                f"models.{name} starts from {entry.start.model!r}, so family must be "
                f"{base.family!r}; got {entry.family!r}"
            )


def _check_native(
    name: str, entry: ModelEntry, run: Run, models: Mapping[str, AnyEntry], windows: Windows
) -> None:
    where = f"models.{name}"
    if entry.patch > windows.context:
        raise ValueError(
            f"{where}.patch must be at most windows.context ({windows.context}); got {entry.patch}"
        )
    if (entry.stride or entry.patch) > entry.patch:
        raise ValueError(
            f"{where}.stride must be at most patch ({entry.patch}); got {entry.stride}"
        )
    if isinstance(entry.start, PretrainedStart):
        base = models[_base_of(name, entry.start, run)]
        is_native = isinstance(base, ModelEntry)
        if not is_native or any(getattr(base, one) != getattr(entry, one) for one in SHAPE):
            raise ValueError(
                f"{where} starts from {entry.start.model!r}, so scale, backbone, head, patch "
                "and stride must be the same in both entries"
            )


def _check_imports(run: Run, models: Mapping[str, AnyEntry]) -> None:
    require("run.imports", run.imports, "models", models)
    for name, folder in run.imports.items():
        start = models[name].start
        if not isinstance(start, (FolderStart, HubStart)):
            raise ValueError(
                f"run.imports names {name!r}, whose start is no checkpoint; "
                "give it start: {kind: folder, path: DIR} or {kind: hub, ...}"
            )
        expected = start.path if isinstance(start, FolderStart) else NOT_LOCAL
        if folder != expected:
            raise ValueError(
                f"run.imports.{name} must be {expected!r}, what models.{name}.start says; "
                f"got {folder!r}"
            )

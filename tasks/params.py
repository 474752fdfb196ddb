"""params.yaml, read once into frozen models: the only source of values.

Unknown keys, wrong types and impossible combinations are errors that name the key, the value
and the rule. YAML 1.2 (so `1e-3` is a number); no aliases, no tags, at most 64 kB.
"""

import math
import re
from collections.abc import Iterator, Sequence
from io import StringIO
from pathlib import Path
from typing import Annotated, Any, Self

from pydantic import BaseModel, Field, ValidationError, model_validator
from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError
from ruamel.yaml.events import AliasEvent

from tasks.errors import ParamsError
from tasks.sections.base import Name, Section
from tasks.sections.data import Dataset, Generator, Mix, Windows
from tasks.sections.entries import AnyEntry, check_models, require
from tasks.sections.healing import Healing
from tasks.sections.judging import Controls, Evaluation, Measure, Stability
from tasks.sections.models import ModelEntry, Scale, Training
from tasks.sections.run import Run, Runtime, Study
from tasks.sections.scoring import Scoring
from tasks.sections.search import Granularity, Search
from tasks.sections.storage import hide_passwords
from tasks.sections.zoo import ZooEntry

MAX_PARAMS_BYTES = 64 * 1024


class Params(Section):
    """All of params.yaml."""

    seed: Annotated[int, Field(ge=0, le=2**31)] = 0
    granularity: Granularity = "block"  # sublayer: attention and MLP of every block apart
    runtime: Runtime = Runtime()
    run: Run
    windows: Windows
    generator: Generator = Generator()
    datasets: dict[Name, Dataset]
    mixes: dict[Name, Mix] = Field(default_factory=dict)
    scales: dict[Name, Scale]
    models: dict[Name, AnyEntry]
    training: Training = Training()
    scoring: Scoring = Scoring()
    search: Search = Search()
    healing: Healing = Healing()
    controls: Controls = Controls()
    stability: Stability = Stability()
    evaluation: Evaluation = Evaluation()
    measure: Measure = Measure()
    presets: dict[Name, dict[str, Any]] = Field(default_factory=dict)
    studies: dict[Name, Study] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _names_exist(self) -> Self:
        require("run.datasets", self.run.datasets, "datasets", self.datasets)
        require("run.models", self.run.models, "models", self.models)
        require("run.corpora", self.run.corpora, "datasets", self.datasets)
        self._check_kinds()
        require("run.mixes", self.run.mixes, "mixes", self.mixes)
        require("run.pretrain", self.run.pretrain, "models", self.models)
        require("run.pretrain", self.run.pretrain.values(), "run.mixes", self.run.mixes)
        for name in self.run.mixes:
            members = self.mixes[name].members
            prepared = [*self.run.datasets, *self.run.corpora]
            require(f"mixes.{name}.members", members, "run.datasets or run.corpora", prepared)
        for name, entry in self.models.items():
            if isinstance(entry, ModelEntry):
                require(f"models.{name}.scale", [entry.scale], "scales", self.scales)
        check_models(self.run, self.models, self.windows)
        for name, study in self.studies.items():
            require(f"studies.{name}.preset", [study.preset], "presets", self.presets)
        return self

    def _check_kinds(self) -> None:
        for name in self.run.datasets:
            if self.datasets[name].kind == "collection":
                raise ValueError(
                    f"run.datasets names {name!r}, a collection, which has no test range; "
                    "name it in run.corpora and pretrain on a mix that holds it"
                )
        for name in self.run.corpora:
            if self.datasets[name].kind != "collection":
                raise ValueError(f"run.corpora names {name!r}, which is no collection")

    def scale_name(self, model: str) -> str | None:
        """The name of a model's scale; None for a published family, whose checkpoint says all."""
        entry = self.models[model]
        return entry.scale if isinstance(entry, ModelEntry) else None

    def scale_of(self, model: str) -> Scale | None:
        """A model's scale, if its family has scales."""
        name = self.scale_name(model)
        return None if name is None else self.scales[name]

    def rate_of(self, model: str) -> float:
        """The learning rate that suits a model: its scale's, or its entry's."""
        entry, scale = self.models[model], self.scale_of(model)
        if scale is not None:
            return scale.learning_rate
        assert isinstance(entry, ZooEntry)
        return entry.learning_rate

    def training_of(self, model: str, *, scale_rate: float) -> Training:
        """The training section with the overrides of the model entry.

        `scale_rate` (the learning rate of the entry's scale) holds where neither names one.
        """
        merged = self.training.model_dump() | self.models[model].training
        if merged.get("learning_rate") is None:
            merged["learning_rate"] = scale_rate
        return Training.model_validate(merged)


def read_yaml(path: Path) -> dict[str, Any]:
    """The mapping in a YAML 1.2 file.

    Raises:
        ParamsError: missing, over 64 kB, not UTF-8, aliases, tags, no mapping at the top.
    """
    if not path.is_file():
        raise ParamsError(f"{path}: not found; run the command from the project's root")
    size = path.stat().st_size
    if size > MAX_PARAMS_BYTES:
        raise ParamsError(f"{path}: must be at most {MAX_PARAMS_BYTES} bytes; it has {size}")
    yaml = YAML(typ="safe", pure=True)
    try:
        text = path.read_text(encoding="utf-8")
        for event in yaml.parse(text):
            if isinstance(event, AliasEvent):
                line = event.start_mark.line + 1
                raise ParamsError(f"{path}, line {line}: YAML aliases (*name) are not allowed")
        content = YAML(typ="safe", pure=True).load(text)
    except UnicodeDecodeError as error:
        raise ParamsError(f"{path}: must be UTF-8; byte {error.start} is not") from error
    except YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        place = f", line {mark.line + 1}" if mark else ""
        problem = " ".join(str(getattr(error, "problem", None) or error).split())
        raise ParamsError(f"{path}{place}: not plain YAML: {problem}") from error
    if not isinstance(content, dict):
        raise ParamsError(f"{path}: must hold a mapping of sections; got {type(content).__name__}")
    return content


def yaml_text(content: dict[str, Any]) -> str:
    """Plain block-style YAML that `read_yaml` reads back; keys keep their order."""
    text = StringIO()
    yaml = YAML(typ="safe", pure=True)
    yaml.default_flow_style = False
    yaml.sort_base_mapping_type_on_output = False  # type: ignore[assignment]
    yaml.representer.ignore_aliases = lambda _: True  # what stands in two places is written twice
    yaml.dump(content, text)
    return text.getvalue()


def validate_params(content: dict[str, Any], source: str) -> Params:
    """The validated parameters.

    Raises:
        ParamsError: one line naming the first broken key, its value and the rule.
    """
    try:
        return Params.model_validate(content)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        place = ".".join(_written(first["loc"], content))
        message = re.sub(r"^Value error, ", "", first["msg"])
        value = first.get("input")
        shown = "" if isinstance(value, (dict, BaseModel)) else f"; got {_shown(value)}"
        where = f"{source}: {place}: " if place else f"{source}: "
        raise ParamsError(f"{where}{message}{shown}") from error


def _written(place: Sequence[str | int], content: Any) -> Iterator[str]:
    """The parts of a place as the file has them, without pydantic's names for kinds of an entry."""
    for number, part in enumerate(place, start=1):
        if isinstance(content, dict) and part not in content and number < len(place):
            continue
        yield str(part)
        try:
            content = content[part]
        except (LookupError, TypeError):  # a key that is missing, or a part of a single value
            content = None


def _shown(value: Any) -> str:
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    text = hide_passwords(repr(value))
    return text if len(text) <= 80 else text[:77] + "..."


def load_params(path: Path = Path("params.yaml")) -> Params:
    """The parameters of this workspace. Raises ParamsError."""
    return validate_params(read_yaml(path), str(path))

"""A model folder as the library that the model comes from loads it."""

import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from safetensors import safe_open

from tasks.artifacts.files import link_or_copy
from tasks.models.checkpoint import BACKBONE, WEIGHTS
from tasks.models.shards import copy_weights
from tasks.models.upstream import checkpoint_config

Library = Literal["chronos-forecasting", "transformers", "fewlayers"]

CHRONOS = """\
import torch
from chronos import BaseChronosPipeline

pipeline = BaseChronosPipeline.from_pretrained("{folder}")
series = [torch.randn({context}), torch.randn({context})]  # yours, any scale; NaN = missing
quantiles, mean = pipeline.predict_quantiles(series, prediction_length={horizon})
"""
TRANSFORMERS = """\
from transformers import {name}

model = {name}.from_pretrained("{folder}").eval()  # it is called as its parent is
"""
OWN = """\
from pathlib import Path

import torch
from tasks.models.registry import load_model  # of the package fewlayers

model = load_model(Path("{folder}"))
series = torch.randn(2, {context})  # yours, any scale; NaN = missing
mean = model.forecast(series, {horizon}).mean
"""


@dataclass(frozen=True)
class Loader:
    """Which library loads a published folder, and how."""

    library: Library
    code: str  # with places for folder, context and horizon

    def lines(self, folder: str, context: int, horizon: int) -> str:
        """Python that loads the folder and forecasts."""
        return self.code.format(folder=folder, context=context, horizon=horizon)


def loader_of(folder: Path) -> Loader:
    """Who loads the model in a model folder.

    A library does where its own checkpoint, `backbone/`, is all there is to the model.

    Raises:
        CheckpointError: the folder holds no backbone/config.json.
    """
    config = checkpoint_config(folder / BACKBONE)
    with safe_open(folder / WEIGHTS, framework="pt") as file:
        is_whole = not file.keys()
    if is_whole and "chronos_pipeline_class" in config:
        return Loader("chronos-forecasting", CHRONOS)
    name = _transformers_class(config)
    if is_whole and name is not None:
        return Loader("transformers", TRANSFORMERS.replace("{name}", name))
    return Loader("fewlayers", OWN)


def _transformers_class(config: dict[str, Any]) -> str | None:
    import transformers

    names = config.get("architectures") or []
    if len(names) != 1 or "auto_map" in config:
        return None
    return names[0] if hasattr(transformers, names[0]) else None


def publish(folder: Path, out: Path, loader: Loader) -> None:
    """Writes config.json and the weights in the form that `loader` reads; an older one is replaced.

    Args:
        folder: of the model, as `save` wrote it.
        out: where to write; with our own loader it holds backbone/ as well.
        loader: of that folder.

    Raises:
        CheckpointError: the model folder is not whole.
    """
    shutil.rmtree(out, ignore_errors=True)
    out.mkdir(parents=True)
    if loader.library != "fewlayers":
        link_or_copy(str(folder / BACKBONE / "config.json"), str(out / "config.json"))
        copy_weights(folder / BACKBONE, out)
        return
    for name in ("config.json", WEIGHTS):
        link_or_copy(str(folder / name), str(out / name))
    shutil.copytree(folder / BACKBONE, out / BACKBONE, copy_function=link_or_copy)

"""What is compared: a model of ours with random weights, and what it makes of a few windows."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from tasks.models.families import zoo_class
from tasks.models.zoo.family import ZooModel
from tasks.models.zoo.moirai import nll_loss
from tasks.sections.data import Windows

SMALL = {"d_model": 384, "num_layers": 6}  # the published small size
T5 = {
    "d_model": 512, "d_kv": 64, "d_ff": 1024, "num_layers": 8, "num_heads": 6, "vocab_size": 64,
    "feed_forward_proj": "gated-gelu", "initializer_factor": 0.3,
}  # fmt: skip
NOISE = 0.02  # added to all weights, so that norms and biases are random, too


@dataclass(frozen=True, kw_only=True)
class Case:
    """One model and one setting of its forecast.

    Attributes:
        make: our numbers by name; the library's script makes the same ones.
        asked: horizon of the forecast, where it is not the model's own.
    """

    family: str
    shape: dict[str, Any]
    make: Callable[[ZooModel, Tensor, int], dict[str, Tensor]]
    context: int
    horizon: int
    asked: int | None = None
    options: dict[str, Any] = field(default_factory=dict)

    @property
    def steps(self) -> int:
        """Horizon of the forecast."""
        return self.asked or self.horizon

    def __str__(self) -> str:
        options = "".join(f", {name} {value}" for name, value in self.options.items())
        return f"{self.family}, context {self.context}, horizon {self.steps}{options}"


def _moirai(model: ZooModel, window: Tensor, horizon: int) -> dict[str, Tensor]:
    context, target = window[:, :-horizon], window[:, -horizon:]
    mixture = model.backbone(context, horizon, model.patch)
    pairs = zip(target[:, None], range(len(target)), strict=True)
    losses = [nll_loss(model.backbone(context[[n]], horizon, model.patch), one) for one, n in pairs]
    return {"mean": mixture.mean, "loss": torch.stack(losses)}


def _moirai2(model: ZooModel, window: Tensor, horizon: int) -> dict[str, Tensor]:
    found = model.forecast(window[:, :-horizon], horizon).quantiles
    return {"quantiles": torch.stack(list(found.values()), dim=1)}


def _moment(model: ZooModel, window: Tensor, horizon: int) -> dict[str, Tensor]:
    return {"forecast": model.forecast(window[:, :-horizon], horizon).mean}


MOIRAI = [
    Case(
        family="moirai", shape=SMALL, make=_moirai, context=200, horizon=96,
        options={"patch_size": patch},
    )
    for patch in (8, 16, 32, 64, 128)
]  # fmt: skip
MOIRAI2 = [
    Case(
        family="moirai2", shape=SMALL | {"d_ff": 1024}, make=_moirai2, context=200, horizon=64,
        asked=asked,
    )
    for asked in (50, 64, 200)
]  # fmt: skip
MOMENT = [
    Case(family="moment", shape={"t5_config": T5}, make=_moment, context=context, horizon=96)
    for context in (512, 200)
]


def windows(length: int) -> Tensor:
    """Waves on several scales, one with gaps, one with a late start, one of counts."""
    generator = torch.Generator().manual_seed(0)
    time = torch.arange(length)[None] + 7 * torch.arange(5)[:, None]
    waves = torch.sin(time / 3.0) + 0.3 * torch.randn(5, length, generator=generator)
    waves = 5 + waves * torch.tensor([1.0, 30.0, 0.05, 2.0, 1.0])[:, None]
    waves[1, 20:47] = waves[1, 90] = float("nan")
    waves[2, :70] = float("nan")
    waves[3] = waves[3].clamp(min=0).round()
    return waves


def model_of(case: Case) -> ZooModel:
    """The case's model with random weights."""
    torch.manual_seed(0)
    model = (
        zoo_class(case.family)
        .create(
            case.shape,
            Windows(context=case.context, horizon=case.horizon),
            family=case.family,
            origin="random initialisation",
            options=case.options,
        )
        .eval()
    )
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(NOISE * torch.randn_like(parameter))
    return model

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
DECODER = {
    "hidden_size": 384, "intermediate_size": 1536, "num_hidden_layers": 4, "num_attention_heads": 6,
    "initializer_range": 0.06,  # with the published 0.02 attention hardly sees positions
}  # fmt: skip
SEED = 7  # of what a model samples
NOISE = 0.02  # added to all weights, so that norms and biases are random, too


@dataclass(frozen=True, kw_only=True)
class Case:
    """One model and one setting of its forecast.

    Attributes:
        make: our numbers by name; the library's script makes the same ones.
        asked: horizon of the forecast, where it is not the model's own.
        gaps: whether the windows have missing values; some libraries take none.
        note: what sets the case apart, where its numbers do not.
    """

    family: str
    shape: dict[str, Any]
    make: Callable[[ZooModel, Tensor, int], dict[str, Tensor]]
    context: int
    horizon: int
    asked: int | None = None
    options: dict[str, Any] = field(default_factory=dict)
    gaps: bool = True
    note: str = ""

    @property
    def steps(self) -> int:
        """Horizon of the forecast."""
        return self.asked or self.horizon

    def __str__(self) -> str:
        options = "".join(f", {name} {value}" for name, value in self.options.items())
        return f"{self.family}{self.note}, context {self.context}, horizon {self.steps}{options}"


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


def _sundial(model: ZooModel, window: Tensor, horizon: int) -> dict[str, Tensor]:
    context, samples = window[:, :-horizon], model.config.options["samples"]
    torch.manual_seed(SEED)
    found = model.backbone.generate(context, horizon, samples)
    torch.manual_seed(SEED)
    _, loss = model.backbone.guess_and_loss(context, window, samples, SEED)
    return {"samples": found.flatten(1), "loss": loss[None]}


def _timer(model: ZooModel, window: Tensor, horizon: int) -> dict[str, Tensor]:
    seen = model.backbone.whole_patches(window[:, :-horizon])
    recent = window[:, -horizon - seen.shape[1] :]
    _, loss = model.backbone.forecast_and_loss(seen, recent, horizon)
    return _moment(model, window, horizon) | {"loss": loss[None]}


def _time_moe(model: ZooModel, window: Tensor, horizon: int) -> dict[str, Tensor]:
    context = window[:, :-horizon]
    told = window[:, : context.shape[1] + 1]  # the published loss asks for one value more
    _, loss = model.backbone.forecast_and_loss(context, told, horizon)
    return _moment(model, window, horizon) | {"loss": loss[None]}


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


SUNDIAL = [
    Case(
        family="sundial", shape=DECODER, make=_sundial, context=context, horizon=720, asked=asked,
        options={"samples": 20}, gaps=False,
    )
    for context, asked in ((192, 720), (200, 720), (192, 900))
]  # fmt: skip
TIMER = [
    Case(
        family="timer", shape=DECODER | {"output_token_lens": heads}, make=_timer, context=context,
        horizon=heads[-1], asked=asked, gaps=False, note=f", heads {heads}",
    )
    for heads, context, asked in (([96], 288, 96), ([96], 300, 250), ([96, 192], 288, 480))
]  # fmt: skip
# Where two experts tie within rounding (3e-6), two correct codes choose different ones: at context
# 200 one token of one window does, and its forecast moves by 1e-4. Here no choice is that close.
TIME_MOE = [
    Case(
        family="time_moe", shape=DECODER | shape, make=_time_moe, context=192, horizon=64,
        asked=asked, gaps=False, note=note,
    )
    for shape, note, asked in (
        ({}, "", 64),
        ({}, "", 77),
        ({"use_dense": True, "apply_aux_loss": False, "num_key_value_heads": 2}, ", dense", 77),
    )
]  # fmt: skip


def windows(length: int, gaps: bool = True) -> Tensor:
    """Waves on several scales, one of counts; with gaps in one and a late start of another."""
    generator = torch.Generator().manual_seed(0)
    time = torch.arange(length)[None] + 7 * torch.arange(5)[:, None]
    waves = torch.sin(time / 3.0) + 0.3 * torch.randn(5, length, generator=generator)
    waves = 5 + waves * torch.tensor([1.0, 30.0, 0.05, 2.0, 1.0])[:, None]
    if gaps:
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

"""Any other transformers checkpoint, with the user's own functions to forecast and to train.

Options of an entry:

- `model`: a class of transformers, for example PatchTSMixerForPrediction; without it the first of
  the checkpoint's `architectures`;
- `forecast`: `mine:forecast` is the function `forecast` of tasks/custom/mine.py;
  `forecast(module, context, horizon)` gives [B, horizon] for a context [B, windows.context] whose
  missing values are NaN. It is asked for at most windows.horizon values; longer forecasts are
  rolled;
- `loss`, if training is to use `loss: native`: the same; `loss(module, window, context_length)`
  gives a number for windows of context + horizon values;
- `stacks`: where the blocks are, a list of {path, depth}, where discovery finds several places.

A stack may name `per_layer` (config lists with an entry per block) and `carried` (parts of names
of tensors that only block 0 has) as well; both are found where they can be.
"""

import difflib
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from typing import Any

import torch
import transformers
from jaxtyping import Float
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor, nn
from transformers import PreTrainedModel

from tasks.errors import ParamsError
from tasks.models.interface import Forecast, Outputs
from tasks.models.rolling import rolled
from tasks.models.stacks import Stack
from tasks.models.zoo.discovery import check_stacks, depth_of, find_stacks
from tasks.models.zoo.family import Plan, ZooConfig, ZooModel, outputs_on_data_scale
from tasks.models.zoo.library import complete_config
from tasks.models.zoo.options import checked_options
from tasks.models.zoo.own_functions import own_function
from tasks.sections.data import Windows


class StackOption(BaseModel):
    """Where a stack of blocks is: path of its ModuleList, config field with their number."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    path: str
    depth: str
    per_layer: tuple[str, ...] = ()
    carried: tuple[str, ...] = ()


class CustomOptions(BaseModel):
    """Options of an entry, see the module."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    model: str | None = None
    forecast: str
    loss: str | None = None
    stacks: list[StackOption] = Field(default_factory=list)

    def as_stacks(self) -> tuple[Stack, ...]:
        """The stacks; what follows the last block is not known by name."""
        return tuple(Stack(norm="", **one.model_dump()) for one in self.stacks)


def library_class(name: object) -> Any:
    """A model class of transformers. Raises ParamsError."""
    kind = getattr(transformers, name, None) if isinstance(name, str) else None
    if isinstance(kind, type) and issubclass(kind, PreTrainedModel) and kind.config_class:
        return kind
    near = difflib.get_close_matches(str(name), dir(transformers), n=1)
    hint = f"; did you mean {near[0]}?" if near else ""
    raise ParamsError(
        f"custom: options.model must be a model class of transformers, for example "
        f"PatchTSMixerForPrediction; got {name!r}{hint}"
    )


class Custom(ZooModel):
    """A model of transformers whose stacks were found, and whose functions are the user's."""

    def __init__(self, config: ZooConfig) -> None:
        """Builds with random weights from torch's global seed."""
        super().__init__(config)
        options = checked_options(CustomOptions, config.options, "custom")
        self.stacks = options.as_stacks()
        self.forecast_function = own_function(options.forecast, "forecast")
        self.loss_function = own_function(options.loss, "loss") if options.loss else None

    @classmethod
    def check_options(cls, options: Mapping[str, Any]) -> None:
        """Raises ParamsError unless these options of a model entry fit the family."""
        checked = checked_options(CustomOptions, options, "custom")
        for option in ("forecast", "loss"):
            name = getattr(checked, option)
            if name is not None:
                own_function(name, option)

    @classmethod
    def plan(cls, data: Mapping[str, Any], windows: Windows, options: Mapping[str, Any]) -> Plan:  # noqa: ARG003
        """As `ZooModel.plan`; the stacks become part of the options."""
        given = checked_options(CustomOptions, options, "custom")
        name = given.model or next(iter(data.get("architectures") or []), None)
        whole = cls.complete({**data, "architectures": [name]})
        named = given.as_stacks()
        stacks = (
            check_stacks(cls.build_backbone, whole, str(name), named)
            if named
            else find_stacks(cls.build_backbone, whole, str(name))
        )
        fields = ("path", "depth", "per_layer", "carried")
        stored = [{field: getattr(stack, field) for field in fields} for stack in stacks]
        blocks = sum(depth_of(whole, stack) for stack in stacks)
        return Plan(whole, {**options, "stacks": stored}, blocks)

    @classmethod
    def complete(cls, data: dict[str, Any]) -> dict[str, Any]:
        """The library's config with its defaults filled in, as config.json of a checkpoint."""
        names = data.get("architectures") or [None]
        return complete_config(library_class(names[0]).config_class, data, "custom") | {
            "architectures": names[:1]
        }

    @classmethod
    def build_backbone(cls, data: Mapping[str, Any]) -> nn.Module:
        """The library's module with random weights, from its own config as data."""
        kind = library_class(data["architectures"][0])
        config = kind.config_class.from_dict(dict(data))
        config.use_cache = False  # a cache is indexed by the blocks' first numbers
        module: nn.Module = kind(config)
        return module

    @classmethod
    def count_blocks(cls, data: Mapping[str, Any]) -> int:
        """How many blocks discovery finds for a config, over all stacks."""
        stacks = find_stacks(cls.build_backbone, data, str(data["architectures"][0]))
        return sum(depth_of(data, stack) for stack in stacks)

    @property
    def label(self) -> str:
        """The class of transformers and the origin of the weights."""
        return f"{type(self.backbone).__name__}, {self.config.origin}"

    @torch.no_grad()
    def tail(self) -> list[nn.Module]:
        """The modules with parameters of their own that run after the last block in a forecast."""
        found: dict[int, nn.Module] = {}

        def begin(_block: nn.Module, _args: Any, _output: Any) -> None:
            found.clear()

        def note(module: nn.Module, _args: Any) -> None:
            found[id(module)] = module

        with ExitStack() as hooks:
            for module in self._outside_blocks():
                hooks.callback(module.register_forward_pre_hook(note).remove)
            for block in self.all_blocks()[-1:]:
                hooks.callback(block.register_forward_hook(begin).remove)
            device = next(self.parameters()).device
            self.forecast(torch.arange(self.config.context, device=device).float().sin()[None], 1)
        return list(found.values())

    def _outside_blocks(self) -> Iterator[nn.Module]:
        inside = {id(module) for block in self.all_blocks() for module in block.modules()}
        for module in self.backbone.modules():
            if id(module) not in inside and list(module.parameters(recurse=False)):
                yield module

    def _once(self, context: Float[Tensor, "B context"], steps: int) -> Float[Tensor, "B steps"]:
        found = self.forecast_function(self.backbone, context, steps)
        shape = (len(context), steps)
        if not isinstance(found, Tensor) or found.shape != shape:
            got = tuple(found.shape) if isinstance(found, Tensor) else type(found).__name__
            raise ParamsError(
                f"options.forecast: {self.config.options['forecast']} must return a tensor "
                f"[B, horizon], here {shape}; got {got}"
            )
        return found.float()

    def forecast(self, context: Float[Tensor, "B context"], horizon: int) -> Forecast:
        """Forecasts of the next `horizon` values; NaN in the context = missing."""
        length, steps = self.config.context, min(horizon, self.config.horizon)
        made = rolled(lambda one: self._once(one, steps), context, length=length, horizon=horizon)
        return Forecast(made)

    def outputs(self, window: Float[Tensor, "B length"]) -> Outputs:
        """The forecasts of the horizon, and the user's own loss where there is one."""
        length, loss = self.config.context, None
        if self.loss_function is not None:
            loss = self.loss_function(self.backbone, window, length)
            if not isinstance(loss, Tensor) or loss.ndim:
                got = tuple(loss.shape) if isinstance(loss, Tensor) else type(loss).__name__
                raise ParamsError(
                    f"options.loss: {self.config.options['loss']} must return a tensor without "
                    f"dimensions; got {got}"
                )
        prediction = self._once(window[:, :length], self.config.horizon)
        return outputs_on_data_scale(prediction, window, length, loss)

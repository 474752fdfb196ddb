"""The model interface: what scores, search, healing and evaluation know of a model.

A model holds a `backbone`, the module that its own library saves and loads, and says declaratively
where its stacks of blocks lie in there (`stacks`). Blocks are numbered over all stacks in order, an
encoder's before its decoder's; `keep` always means these flat numbers.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar, Literal, Self

import torch
from jaxtyping import Float
from pydantic import BaseModel, ConfigDict
from torch import Tensor, nn

from tasks.errors import ParamsError
from tasks.models.activations import checkpoint_blocks
from tasks.models.checkpoint import write_folder
from tasks.models.interface import Forecast, Outputs, Trace
from tasks.models.stacks import (
    BlockKind,
    Stack,
    check_keep,
    config_follows,
    first_input,
    first_output,
    keep_config,
    keep_tensors,
    skipped,
    split_keep,
)
from tasks.models.unfilled import Unfilled, move_unfilled
from tasks.models.walk import Walk


class ModelConfig(BaseModel):
    """config.json of a model: everything needed to build it."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    family: str
    backbone_config: dict[str, Any]  # the library's own config, as data
    context: int  # values of a window that the model sees, ...
    horizon: int  # ... and that it is trained to forecast
    kept: tuple[int, ...]
    origin: str


class ForecastModel(nn.Module, ABC):
    """A forecaster of univariate windows whose blocks can be dropped."""

    CONFIG: ClassVar[type[ModelConfig]]
    TRACED: ClassVar[Literal["first", "last"]] = "first"  # pass over each stack in `run_once`
    DRAWS_BY_PLACE: ClassVar[bool] = False  # random draws differ with a window's place in a batch
    config: Any  # of the class CONFIG
    backbone: Any  # an nn.Module
    stacks: tuple[Stack, ...]

    @abstractmethod
    def outputs(self, window: Float[Tensor, "B length"]) -> Outputs:
        """Predictions and targets on windows of context + horizon values, NaN = missing."""

    @abstractmethod
    def forecast(self, context: Float[Tensor, "B context"], horizon: int) -> Forecast:
        """Forecasts of the next `horizon` values; NaN in the context = missing."""

    @property
    def label(self) -> str:
        """Architecture and origin of the weights, for people."""
        return f"{self.config.family}, {self.config.origin}"

    @property
    def kept(self) -> tuple[int, ...]:
        """Original numbers of the blocks, so that a pruned model can be pruned again."""
        return tuple(self.config.kept)

    @property
    def num_blocks(self) -> int:
        """Blocks over all stacks."""
        return sum(self.stack_sizes)

    @property
    def stack_sizes(self) -> list[int]:
        """Blocks of every stack."""
        return [len(self._modules_of(stack)) for stack in self.stacks]

    def _modules_of(self, stack: Stack) -> nn.ModuleList:
        blocks = self.backbone.get_submodule(stack.path)
        assert isinstance(blocks, nn.ModuleList)
        return blocks

    def _set_modules_of(self, stack: Stack, blocks: nn.ModuleList) -> None:
        parent_path, _, name = stack.path.rpartition(".")
        setattr(self.backbone.get_submodule(parent_path), name, blocks)

    def blocks(self) -> dict[str, Sequence[nn.Module]]:
        """The blocks by stack name."""
        return {stack.path: list(self._modules_of(stack)) for stack in self.stacks}

    def all_blocks(self) -> list[nn.Module]:
        """The blocks in the order of their flat numbers."""
        return [block for blocks in self.blocks().values() for block in blocks]

    def stack_of(self, block: int) -> Stack:
        """The stack in which a block lies."""
        return [stack for stack in self.stacks for _ in self._modules_of(stack)][block]

    def split_keep(self, keep: Sequence[int]) -> list[tuple[int, ...]]:
        """By stack the numbers, within it, of the kept blocks.

        Raises:
            MaskError: `keep` names blocks that the model does not have, or one twice.
        """
        return split_keep(keep, self.stack_sizes, "the model")

    def sublayers(self) -> dict[BlockKind, Sequence[nn.Module]]:
        """By kind, the part of every block whose output is added to the residual stream.

        Empty where the parts of a block cannot be dropped alone.
        """
        return {}

    def block_kinds(self) -> list[BlockKind]:
        """What every block is; blocks of one kind cost the same."""
        return ["block"] * self.num_blocks

    def set_origin(self, origin: str) -> None:
        """Says where the weights come from from now on."""
        self.config = self.config.model_copy(update={"origin": origin})

    def trainable(self) -> Iterator[nn.Parameter]:
        """The parameters that training and healing change."""
        return (parameter for parameter in self.parameters() if parameter.requires_grad)

    def parameter_counts(self) -> dict[str, int]:
        """Counts "all", "blocks" and "used" (in a forecast)."""
        total = sum(p.numel() for p in self.parameters())
        blocks = sum(p.numel() for block in self.all_blocks() for p in block.parameters())
        return {"all": total, "blocks": blocks, "used": total - self._unused_parameters()}

    def _unused_parameters(self) -> int:
        """How many parameters take no part in a forecast."""
        return 0

    def config_of(self, keep: Sequence[int]) -> Any:
        """The config of the model that keeps these blocks."""
        data = dict(self.config.backbone_config)
        for stack, numbers in zip(self.stacks, self.split_keep(keep), strict=True):
            data = keep_config(data, stack, numbers)
        kept = tuple(self.config.kept[block] for block in sorted(keep))
        return self.config.model_copy(update={"backbone_config": data, "kept": kept})

    def with_blocks(self, keep: Sequence[int]) -> Self:
        """A new model with copies of the kept blocks: new config, fresh build, strict load.

        Raises:
            MaskError: `keep` names blocks that the model does not have, or one twice.
        """
        first, config, state = next(self.parameters()), self.config_of(keep), self.state_dict()
        for stack, numbers in zip(self.stacks, self.split_keep(keep), strict=True):
            state = keep_tensors(state, replace(stack, path=f"backbone.{stack.path}"), numbers)
        with Unfilled():
            smaller = type(self)(config).to(dtype=first.dtype)
        move_unfilled(smaller, first.device)
        smaller.load_state_dict(state, strict=True)
        return smaller.train(self.training)

    def with_random_weights(self, seed: int) -> Self:
        """A new model of the same shape with random weights."""
        config = self.config.model_copy(update={"origin": "random initialisation"})
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            return type(self)(config)

    @contextmanager
    def only(self, keep: Sequence[int]) -> Iterator[None]:
        """Inside the context this model runs just the kept blocks; nothing is copied."""
        with ExitStack() as undo:
            for stack, numbers in zip(self.stacks, self.split_keep(keep), strict=True):
                blocks, run = self._modules_of(stack), list(numbers)
                if stack.carried and len(blocks) and 0 not in numbers:
                    run = [0, *run]  # it makes what the others need, and changes nothing itself
                    undo.enter_context(skipped(list(blocks), [0]))
                if stack.per_layer:
                    undo.enter_context(config_follows(self.backbone.config, stack, run))
                undo.callback(self._set_modules_of, stack, blocks)
                self._set_modules_of(stack, nn.ModuleList(blocks[number] for number in run))
            yield

    @contextmanager
    def skipping(self, dropped: Sequence[int]) -> Iterator[None]:
        """Inside the context the dropped blocks run but change nothing."""
        with skipped(self.all_blocks(), check_keep(dropped, self.num_blocks, "the model")):
            yield

    def walk(self, context: Float[Tensor, "B context"]) -> Walk | None:  # noqa: ARG002
        """A batch before its first block, to go through the blocks one at a time.

        None where the family cannot be walked; masks share no states then and are run in turn.
        """
        return None

    def run_once(self, context: Float[Tensor, "B context"]) -> None:
        """Passes of every block, of which the first is over the context; it is traced."""
        self.forecast(context, self.config.horizon)

    @torch.no_grad()
    def trace(self, context: Float[Tensor, "B context"]) -> list[Trace]:
        """By stack, the states before and after every block of one pass over the context.

        A stack without blocks is left out. Channels and patches of a batch are all tokens. Where
        a forecast takes several passes, the later ones, which read forecasts, are not traced;
        `TRACED` says which pass of `run_once` it is.
        """
        sizes = self.stack_sizes
        states: list[list[Tensor]] = [[] for _ in sizes]

        def enters(place: int) -> Any:
            def enter(_block: nn.Module, args: Any, kwargs: Any) -> None:
                if not states[place] or self.TRACED == "last":
                    states[place] = [first_input(args, kwargs)]

            return enter

        def leaves(place: int) -> Any:
            def leave(_block: nn.Module, _args: Any, output: Any) -> None:
                if len(states[place]) <= sizes[place]:
                    states[place].append(first_output(output))

            return leave

        with ExitStack() as hooks:
            for place, blocks in enumerate(self.blocks().values()):
                for block in blocks[:1]:
                    hook = block.register_forward_pre_hook(enters(place), with_kwargs=True)
                    hooks.callback(hook.remove)
                for block in blocks:
                    hooks.callback(block.register_forward_hook(leaves(place)).remove)
            self.run_once(context)
        flat = [[state.reshape(len(state), -1, state.shape[-1]) for state in one] for one in states]
        return [Trace(torch.stack(one), None) for one in flat if one]

    def embedding_map(self) -> nn.Module | None:
        """The linear map whose output is the first stack's h_0; None where there is none alone."""
        return None

    def output_map(self, block: int) -> nn.Module | None:
        """The last linear map of a block, whose output is added to the residual stream."""
        path = self.stack_of(block).output
        return self.all_blocks()[block].get_submodule(path) if path else None

    def tail(self) -> list[nn.Module]:
        """What follows the last block: its norm, and what makes forecasts of states."""
        return [self.backbone.get_submodule(self.stacks[-1].norm)]

    def checkpoint_activations(self) -> None:
        """Makes training keep no activations inside blocks. Raises ParamsError where it cannot."""
        if not checkpoint_blocks(self.backbone):
            raise ParamsError(
                f"training.activation_checkpointing: {self.config.family} cannot do it; set false"
            )

    def tied_names(self) -> dict[str, str]:
        """By name of a tied parameter the first name of the same one, which alone is stored."""
        first: dict[int, str] = {}
        tied: dict[str, str] = {}
        for name, parameter in self.named_parameters(remove_duplicate=False):
            if first.setdefault(id(parameter), name) != name:
                tied[name] = first[id(parameter)]
        return tied

    def stored_state(self) -> dict[str, Tensor]:
        """The tensors of a model folder; those of the backbone as its own library names them."""
        tied = self.tied_names()
        return {name: tensor for name, tensor in self.state_dict().items() if name not in tied}

    def load_stored(self, tensors: Mapping[str, Tensor]) -> None:
        """Takes the tensors of a model folder. Raises RuntimeError where they do not fit."""
        tied = {
            name: tensors[first] for name, first in self.tied_names().items() if first in tensors
        }
        self.load_state_dict({**tied, **tensors}, strict=True)

    @abstractmethod
    def library_config(self) -> dict[str, Any]:
        """config.json of backbone/, as the model's own library wants it."""

    def save(self, folder: Path) -> None:
        """Writes config.json, model.safetensors and, for the model's own library, backbone/."""
        write_folder(
            folder,
            self.stored_state(),
            config=self.config.model_dump(mode="json"),
            backbone_config=self.library_config(),
        )

"""Building a model whose weights are about to be loaded, on a device, with nothing drawn first."""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import nn
from torch.overrides import TorchFunctionMode

DRAWS = frozenset(
    {
        "kaiming_normal_",
        "kaiming_uniform_",
        "normal_",
        "trunc_normal_",
        "uniform_",
        "xavier_normal_",
        "xavier_uniform_",
    }
)  # of torch.Tensor and of torch.nn.init


class Unfilled(TorchFunctionMode):
    """Inside, tensors that would be filled at random keep whatever their memory holds.

    At 1.4 B parameters drawing takes half a minute. Load every weight afterwards, strictly.
    """

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Sequence[type],
        args: Sequence[Any] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        """Calls the function of torch, unless it draws."""
        kwargs = kwargs or {}
        if getattr(func, "__name__", "") in DRAWS:
            return args[0] if args else kwargs["tensor"]
        return func(*args, **kwargs)


def move_unfilled(model: nn.Module, device: torch.device) -> None:
    """Moves a model to a device: its buffers whole, its parameters without their values.

    Loaded weights then go from their file to the device, and copied ones stay on it, not by way of
    the CPU's memory.
    """
    if next(model.parameters()).device.type == device.type:
        return
    buffers = dict(model.named_buffers())
    model.to_empty(device=device)
    for name, buffer in model.named_buffers():
        buffer.copy_(buffers[name])

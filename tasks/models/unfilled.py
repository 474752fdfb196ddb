"""Building a model whose weights are about to be loaded, without drawing random ones first."""

from collections.abc import Callable, Sequence
from typing import Any

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

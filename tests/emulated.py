"""A device that is not there, for machines without a GPU: its tensors lie on the CPU and deny it.

As on CUDA, an operation on tensors of this device and of the CPU fails, so a test that runs on it
finds every tensor that was made or left on the wrong side. What a real device computes, and how
fast, is not its matter; bf16 autocast is not known to it.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from typing import Any, Self

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves, tree_map_only
from torch.utils.backend_registration import _setup_privateuseone_for_python_backend

NAME = "emulated"
CPU = torch.device("cpu")
MOVES = frozenset({"aten::copy_", "aten::_to_copy"})
INDEXING = frozenset(
    {"aten::index", "aten::index_put", "aten::index_put_", "aten::_index_put_impl_"}
)


class _Module:
    """What torch asks of the module of a device."""

    def is_initialized(self) -> bool:
        return True

    def is_available(self) -> bool:
        return True

    def current_device(self) -> int:
        return 0

    def device_count(self) -> int:
        return 1

    def manual_seed_all(self, seed: int) -> None:
        """Random numbers are the CPU's."""

    def get_rng_state(self, device: object) -> Tensor:
        return torch.empty(0)

    def set_rng_state(self, state: Tensor, device: object) -> None:
        """There is none."""

    def _is_in_bad_fork(self) -> bool:
        return False


@cache
def device() -> torch.device:
    """The device; torch is told of it once a process, and before its first backward pass."""
    _setup_privateuseone_for_python_backend(NAME, _Module())
    return torch.device(f"{NAME}:0")


class Emulated(Tensor):
    """A tensor of the device; `plain` holds its values."""

    plain: Tensor

    @staticmethod
    def __new__(cls, plain: Tensor) -> Self:
        """Wraps a tensor of the CPU, whose memory it shares."""
        made: Self = Tensor._make_wrapper_subclass(
            cls,
            plain.shape,
            strides=plain.stride(),
            storage_offset=plain.storage_offset(),
            dtype=plain.dtype,
            device=device(),
        )
        made.plain = plain
        return made

    @classmethod
    def __torch_dispatch__(cls, func: Any, _types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """One operation, by the values on the CPU."""
        return _run(func, args, kwargs or {})


def _is_on_cpu(value: object) -> bool:
    """Whether it may not meet a tensor of the device; single numbers may, as on CUDA."""
    return isinstance(value, Tensor) and not isinstance(value, Emulated) and value.dim() > 0


def _run(func: Any, args: Any, kwargs: dict[str, Any]) -> Any:
    name, leaves = func._schema.name, tree_leaves((args, kwargs))
    is_ours = any(isinstance(one, Emulated) for one in leaves)
    if is_ours and name not in MOVES:
        strangers = [one for one in leaves if _is_on_cpu(one)]
        if name in INDEXING and isinstance(args[0], Emulated):  # by numbers on the CPU is allowed
            strangers = [one for one in strangers if one.is_floating_point()]
        if strangers:
            raise RuntimeError(f"{name}: tensors on {NAME} and cpu")
    where = kwargs.get("device")
    if where is not None:
        kwargs = {**kwargs, "device": CPU}
    plain_args, plain_kwargs = tree_map_only(Emulated, lambda one: one.plain, (args, kwargs))
    plain_kwargs.pop("pin_memory", None)
    out = func(*plain_args, **plain_kwargs)
    writes = [bool(one.alias_info and one.alias_info.is_write) for one in func._schema.returns]
    if name == "aten::_local_scalar_dense":
        return out
    if writes and all(writes):
        return args[0] if args else kwargs["out"]
    stays = torch.device(where).type == NAME if where is not None else is_ours
    return tree_map_only(Tensor, Emulated, out) if stays else out


class _Operations(TorchDispatchMode):
    """Makes tensors on the device where `device=` names it."""

    def __torch_dispatch__(self, func: Any, _types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return _run(func, args, kwargs or {})


class _Functions(TorchFunctionMode):
    """What torch decides in C++ by the device: moves, indices in lists, attention, numpy."""

    def __torch_function__(
        self,
        func: Callable[..., Any],
        _types: Sequence[type],
        args: Sequence[Any] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        kwargs = kwargs or {}
        first = args[0] if args else kwargs.get("query")
        if func in (torch.tensor, torch.as_tensor) and _names_device(kwargs.get("device")):
            return Emulated(func(*args, **{**kwargs, "device": CPU}))
        if func is Tensor.to:
            return _moved(*args, **kwargs)
        if func is Tensor.cpu:
            return _moved(args[0], CPU)
        if isinstance(first, Emulated):
            if func is Tensor.numpy:
                raise TypeError(f"a tensor on {NAME} cannot be made a numpy array")
            if func in (Tensor.tolist, Tensor.__repr__, Tensor.__format__):
                return func(first.plain, *args[1:], **kwargs)
            if func is Tensor.new_tensor:
                return Emulated(func(first.plain, *args[1:], **kwargs))
            if func is F.scaled_dot_product_attention:
                return _attention(*args, **kwargs)
            if func in (Tensor.__getitem__, Tensor.__setitem__):
                args = (first, _placed(args[1]), *args[2:])
        return func(*args, **kwargs)


def _names_device(where: object) -> bool:
    return where is not None and torch.device(where).type == NAME


def _placed(index: Any) -> Any:
    """An index whose lists and tensors lie on the device, where torch puts them."""
    if isinstance(index, tuple):
        return tuple(_placed(one) for one in index)
    if isinstance(index, (list, np.ndarray)):
        return Emulated(torch.tensor(index))
    return Emulated(index) if _is_on_cpu(index) else index


class _Move(torch.autograd.Function):
    """A move whose gradient moves back."""

    @staticmethod
    def forward(ctx: Any, tensor: Tensor) -> Tensor:
        return _on_other_side(tensor)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> Tensor:
        return _on_other_side(grads[0])


def _on_other_side(tensor: Tensor) -> Tensor:
    if isinstance(tensor, Emulated):
        return tensor.plain.clone()
    return Emulated(tensor.detach().clone())


def _moved(tensor: Tensor, *args: Any, **kwargs: Any) -> Tensor:
    if args and isinstance(args[0], Tensor):
        args = (args[0].device, args[0].dtype)
    kwargs = {name: value for name, value in kwargs.items() if name != "copy"}
    where, dtype, _, _ = torch._C._nn._parse_to(*args, **kwargs)
    if where is not None and (where.type == NAME) != isinstance(tensor, Emulated):
        needs_grad = tensor.requires_grad and torch.is_grad_enabled()
        tensor = _Move.apply(tensor) if needs_grad else _on_other_side(tensor)
    if dtype is not None and dtype != tensor.dtype:
        tensor = torch.ops.aten._to_copy(tensor, dtype=dtype)
    return tensor


def _attention(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attn_mask: Tensor | None = None,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    scale: float | None = None,
    enable_gqa: bool = False,
) -> Tensor:
    assert not dropout_p
    if enable_gqa:
        times = query.shape[-3] // key.shape[-3]
        key, value = (one.repeat_interleave(times, -3) for one in (key, value))
    logits = query @ key.transpose(-2, -1) * (scale or query.shape[-1] ** -0.5)
    if is_causal:
        shape = (query.shape[-2], key.shape[-2])
        attn_mask = torch.ones(shape, dtype=torch.bool, device=query.device).tril()
    if attn_mask is not None and attn_mask.dtype == torch.bool:
        logits = logits.masked_fill(~attn_mask, float("-inf"))
    elif attn_mask is not None:
        logits = logits + attn_mask
    return logits.softmax(-1).to(value.dtype) @ value


@contextmanager
def emulated_device() -> Iterator[torch.device]:
    """Inside, tensors can be made on the device and moved there."""
    with _Operations(), _Functions():
        yield device()

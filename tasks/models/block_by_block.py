"""A native model whose blocks stay on disk and are had one at a time, at any depth of the model."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from tasks.errors import CheckpointError
from tasks.models.backbones import STACKS, build_backbone
from tasks.models.checkpoint import (
    BACKBONE,
    WEIGHTS,
    backbone_files,
    check_finite,
    check_hash,
    read_config,
)
from tasks.models.locate import Located, locate
from tasks.models.native import NativeConfig, NativeModel
from tasks.models.registry import validated
from tasks.models.stacks import keep_config
from tasks.models.tensor_files import (
    DTYPES,
    StoredTensor,
    read_header,
    read_into,
    read_tensor,
    stored_tensors,
)

TOKENS = 1  # rows of the token embedding, which is never run and so never read


@dataclass(frozen=True)
class BlockByBlock:
    """A native model in eval mode with all but its blocks in memory.

    Attributes:
        model: its blocks have no memory (device meta) but inside `block`.
        stored: by block where its tensors lie, under their names in the block.
        memory: by name and shape, of one block's weights; each block is read into it in turn, since
            memory that is freed and asked for again and again grows by its gaps.
    """

    model: NativeModel
    stored: tuple[Mapping[str, StoredTensor], ...]
    memory: dict[tuple[str, tuple[int, ...]], Tensor] = field(default_factory=dict)

    @contextmanager
    def block(self, number: int) -> Iterator[nn.Module]:
        """Inside the context one block of the model has its weights, in single precision.

        One context at a time: the next block takes the same memory.

        Raises:
            CheckpointError: they do not fit the model's config, or one is not finite.
        """
        block = self.model.all_blocks()[number]
        assert all(p.is_meta for other in self.model.all_blocks() for p in other.parameters())
        tensors = {name: self._read(name, one) for name, one in self.stored[number].items()}
        try:
            block.load_state_dict(tensors, strict=True, assign=True)
        except RuntimeError as error:
            raise _misfit(next(iter(self.stored[number].values())).path.parent, error) from error
        assert not any(tensor.is_meta for tensor in (*block.parameters(), *block.buffers()))
        try:
            yield block
        finally:
            block.to("meta")

    def _read(self, name: str, stored: StoredTensor) -> Tensor:
        key, dtype = (name, stored.shape), DTYPES[stored.dtype]
        if key not in self.memory:
            kind = torch.float32 if dtype.is_floating_point else dtype
            self.memory[key] = torch.empty(stored.shape, dtype=kind)
        tensor = self.memory[key]
        read_into(stored, tensor)
        check_finite(stored.path, name, tensor)
        return tensor


def can_be_read_block_by_block(config: Mapping[str, Any]) -> bool:
    """Whether `open_block_by_block` takes a model with this config: native, of whole blocks."""
    return config.get("family") in {"tsfm", "llm4ts"} and "granularity" not in config


def open_block_by_block(folder: Path) -> BlockByBlock:
    """The model in a folder that `save` wrote; its backbone may lie in shards.

    Raises:
        CheckpointError: a file is missing, malformed, altered or does not fit config.json, or the
            model is not a native one of whole blocks.
    """
    data, hashes = read_config(folder)
    if not can_be_read_block_by_block(data):
        raise CheckpointError(
            f"{folder}: only native models of whole blocks are read block by block; this one is "
            f"{data.get('family')!r}, granularity {data.get('granularity', 'block')}; load it whole"
        )
    config: NativeConfig = validated(NativeModel, data, folder)
    for name in (WEIGHTS, *backbone_files(hashes)):
        if not (folder / name).is_file():
            raise CheckpointError(f"{folder / name}: missing; run its stage again")
        check_hash(folder / name, hashes.get(name))
    backbone = stored_tensors(folder / BACKBONE)
    places = locate([STACKS[config.backbone]], backbone, config.backbone_config, folder / BACKBONE)
    blocks, outside = _by_block(backbone, places[0])
    own = read_header(folder / WEIGHTS)
    model = _without_blocks(config)
    _load_outside(model, own | {f"{BACKBONE}.{k}": one for k, one in outside.items()}, folder)
    with torch.device("meta"):
        whole = build_backbone(config.backbone, config.backbone_config)
    model.backbone.config = whole.config  # the one that its blocks look into
    parent, _, name = model.stack.path.rpartition(".")
    setattr(model.backbone.get_submodule(parent), name, whole.get_submodule(model.stack.path))
    return BlockByBlock(model.eval(), blocks)


def _by_block(
    tensors: Mapping[str, StoredTensor], place: Located
) -> tuple[tuple[dict[str, StoredTensor], ...], dict[str, StoredTensor]]:
    """The tensors of every block, and those outside the stack without the checkpoint's prefix."""
    blocks: tuple[dict[str, StoredTensor], ...] = tuple({} for _ in range(place.size))
    outside: dict[str, StoredTensor] = {}
    for name, one in tensors.items():
        if name.startswith(f"{place.stack.path}."):
            number, rest = name.removeprefix(f"{place.stack.path}.").split(".", 1)
            blocks[int(number)][rest] = one
        else:
            outside[name] = one
    return blocks, outside


def _without_blocks(config: NativeConfig) -> NativeModel:
    """The model without any block, and with hardly a token embedding."""
    data = keep_config(config.backbone_config, STACKS[config.backbone], ())
    data |= {"vocab_size": TOKENS, "pad_token_id": None}
    with torch.random.fork_rng(devices=[]):
        model = NativeModel(config.model_copy(update={"backbone_config": data, "kept": ()}))
    model.config = config
    return model


def _load_outside(model: NativeModel, stored: Mapping[str, StoredTensor], folder: Path) -> None:
    tokens = model.backbone.get_input_embeddings()
    unread = {
        f"{BACKBONE}.{name}.weight"
        for name, module in model.backbone.named_modules()
        if module is tokens
    }
    tensors = {name: tensor for name, tensor in model.state_dict().items() if name in unread}
    for name, one in stored.items():
        if name not in unread:
            tensors[name] = read_tensor(one)
            check_finite(one.path, name, tensors[name])
    try:
        model.load_state_dict(tensors, strict=True)
    except RuntimeError as error:
        raise _misfit(folder, error) from error


def _misfit(folder: Path, error: RuntimeError) -> CheckpointError:
    reason = " ".join(str(error).split())
    return CheckpointError(f"{folder}: weights do not fit config.json: {reason[:400]}")

"""The command `fewlayers prune`, for a checkpoint folder outside of any pipeline."""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from tasks.errors import ParamsError

if TYPE_CHECKING:
    from tasks.models.streaming import Pruned


def prune(
    folder: Annotated[Path, typer.Argument(help="A checkpoint: config.json and safetensors.")],
    out: Annotated[Path, typer.Argument(help="A new folder.")],
    keep: Annotated[str, typer.Option(help='Numbers of the blocks to keep: "0 3 5".')],
    family: Annotated[
        str | None, typer.Option(help="Of the model, where its config.json does not tell it.")
    ] = None,
) -> None:
    """Write a checkpoint with some of its blocks only; nothing else is read, whatever its size.

    Blocks are numbered from 0, an encoder's before its decoder's. The new folder is loaded by the
    library that loads the old one. Weights are copied as they are. Stopped, it can be run again.

    Examples:
      fewlayers prune models/chronos-bolt-base models/pruned --keep "0 3 5 12 13"

      fewlayers prune models/unnamed models/pruned --keep "0 1 2" --family moirai
    """
    from tasks.models.locate import family_of, stacks_of
    from tasks.models.streaming import prune_checkpoint
    from tasks.models.upstream import checkpoint_config

    numbers = parse_keep(keep)
    stacks = stacks_of(family or family_of(checkpoint_config(folder), folder))
    for line in describe(prune_checkpoint(folder, out, stacks, numbers), folder, out):
        typer.echo(line)


def parse_keep(text: str) -> list[int]:
    """The numbers in `--keep`. Raises ParamsError."""
    words = text.replace(",", " ").split()
    if not words or not all(word.isdecimal() for word in words):
        raise ParamsError(f'--keep must be numbers of blocks such as "0 3 5"; got {text!r}')
    return [int(word) for word in words]


def describe(pruned: "Pruned", folder: Path, out: Path) -> Iterator[str]:
    """What was read and written, line by line."""
    (read, tensors), (size, whole) = pruned.num_tensors, pruned.num_bytes
    share = f"{size / 1e9:.3f} of {whole / 1e9:.3f} GB"
    for one, kept in zip(pruned.stacks, pruned.keep, strict=True):
        numbers = " ".join(str(number) for number in kept) or "none"
        yield f"blocks:  {len(kept)} of {one.size} in {one.stack.path}: {numbers}"
    yield f"read:    {share}, {read} of {tensors} tensors, {folder}"
    files = len(pruned.files)
    yield f"written: {size / 1e9:.3f} GB in {files} file{'s' * (files > 1)}, {out}"

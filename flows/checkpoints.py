"""The commands `fewlayers score` and `fewlayers prune`, for a folder outside of any pipeline."""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from flows.options import File, with_reading
from tasks.errors import ParamsError

if TYPE_CHECKING:
    from tasks.models.streaming import Pruned

Folder = Annotated[
    Path, typer.Argument(help="A checkpoint (config.json and safetensors) or a model folder.")
]
Family = Annotated[
    str | None, typer.Option(help="Of a checkpoint whose config.json does not tell it.")
]


@with_reading
def score(
    folder: Folder,
    file: File,
    share: Annotated[
        float, typer.Option(min=0.0, max=1.0, help="Of the blocks of every stack, to be kept.")
    ] = 0.25,
    out: Annotated[
        Path | None, typer.Option(help="A .csv file for the scores of every block.")
    ] = None,
    family: Family = None,
    *,
    reading: dict[str, Any],
) -> None:
    """Score every block of a model on a data file, and say which ones each score would keep.

    Only scores of activations, higher = keep; windows and options are those of `scoring` in
    params.yaml, from the validation range of the file. A tsfm or llm4ts model is never held: one
    block is in memory at a time. How well the kept blocks heal only `fewlayers run` can tell.

    Examples:
      fewlayers score models/full/sales/my-llm4ts sales.csv --share 0.3

      fewlayers score ./chronos-bolt-base sales.csv --out scores.csv
    """
    from flows.add_data import dataset_entry
    from flows.summary import print_scores
    from tasks.params import load_params
    from tasks.score_folder import score_folder

    entry = dataset_entry(reading)
    if out is not None and out.suffix != ".csv":
        raise ParamsError(f"--out: must end in .csv; got {out.name!r}")
    is_model(folder, family)
    found = score_folder(folder, file, entry, load_params(Path("params.yaml")), family=family)
    print_scores(found, share, folder)
    if out is not None:
        found.write(out)
        typer.echo(f"written: {out}")


def prune(
    folder: Folder,
    out: Annotated[Path, typer.Argument(help="A new folder.")],
    keep: Annotated[str, typer.Option(help='Numbers of the blocks to keep: "0 3 5".')],
    family: Family = None,
) -> None:
    """Write a model with some of its blocks only, never held in memory, whatever its size.

    Blocks are numbered from 0, an encoder's before its decoder's. The new folder is loaded by what
    loads the old one. Weights are copied as they are. Stopped, it can be run again.

    Examples:
      fewlayers prune models/chronos-bolt-base models/pruned --keep "0 3 5 12 13"

      fewlayers prune models/unnamed models/pruned --keep "0 1 2" --family moirai

      fewlayers prune models/full/sales/my-llm4ts models/small --keep "0 3 5"
    """
    from tasks.models.locate import family_of, stacks_of
    from tasks.models.streaming import prune_checkpoint, prune_model
    from tasks.models.upstream import checkpoint_config

    numbers = parse_keep(keep)
    if is_model(folder, family):
        pruned = prune_model(folder, out, numbers)
    else:
        stacks = stacks_of(family or family_of(checkpoint_config(folder), folder))
        pruned = prune_checkpoint(folder, out, stacks, numbers)
    for line in describe(pruned, folder, out):
        typer.echo(line)


def is_model(folder: Path, family: str | None) -> bool:
    """Whether a folder is a model folder. Raises ParamsError where a family is named for one."""
    from tasks.models.locate import is_model_folder

    if not is_model_folder(folder):
        return False
    if family is not None:
        raise ParamsError(f"--family: {folder} is a model folder and says its own; leave it out")
    return True


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

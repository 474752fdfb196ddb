"""`python -m tests.bench.zoo [FAMILY ...]`: what dropping blocks saves at published sizes.

Models are built on the meta device, which knows sizes and holds no weights. Prints a Markdown
table; a family that is not installed is skipped with a note.
"""

import argparse
from collections.abc import Sequence
from dataclasses import dataclass

import torch

from tasks.errors import ParamsError
from tasks.masks.mask import Mask, even_mask, sizes_of
from tasks.models.backbones import STACKS
from tasks.models.base import ForecastModel
from tasks.models.families import zoo_class
from tasks.models.native import NativeConfig, NativeModel
from tasks.models.zoo.published import PUBLISHED, Published
from tasks.sections.data import Windows

SHARE = 0.25  # of the blocks that are kept, evenly spaced
NATIVE = ("tsfm", "llm4ts")
BYTES = {"float32": 4, "bfloat16": 2, "float16": 2}
HEADER = (
    "| model | parameters, M | in blocks, M | elsewhere, M | share in blocks | blocks | kept | "
    "bytes saved | FLOPs saved per token |"
)


@dataclass(frozen=True)
class Sizes:
    """Parameters of a published model, and of the blocks that go when a quarter is kept."""

    published: Published
    total: int
    in_blocks: int
    stacks: tuple[int, ...]
    kept: int
    dropped: int

    @property
    def bytes_saved(self) -> int:
        """Of the stored weights."""
        return self.dropped * BYTES[self.published.dtype]

    @property
    def flops_saved(self) -> int:
        """A multiplication and an addition per parameter of a block and token."""
        return 2 * self.dropped


def build(published: Published) -> ForecastModel:
    """The model with random weights. Raises ParamsError where a package or backbone is missing."""
    if published.family in NATIVE:
        return _native(published)
    return zoo_class(published.family).create(
        published.config,
        Windows(context=published.context, horizon=published.horizon),
        family=published.family,
        origin="published size",
        options=published.options,
        dtype=published.dtype,
    )


def build_on_meta(published: Published) -> ForecastModel:
    """The model without weights. Raises ParamsError as `build`."""
    with torch.device("meta"):
        return build(published)


def quarter(num_blocks: int) -> Mask:
    """The blocks that are kept."""
    [size] = sizes_of([SHARE], num_blocks)
    return even_mask(num_blocks, size)


def _native(published: Published) -> NativeModel:
    backbone = published.config["model_type"]
    for name, stack in STACKS.items():
        if name == backbone:
            config = NativeConfig(
                family=published.family,  # type: ignore[arg-type]
                backbone=name,
                backbone_config=dict(published.config),
                context=published.context,
                horizon=published.horizon,
                kept=tuple(range(published.config[stack.depth])),
                origin="published size",
                **published.options,
            )
            return NativeModel(config)
    raise ParamsError(f"there is no backbone {backbone!r}")


def sizes_of_model(published: Published) -> Sizes:
    """Counts the parameters of one published model."""
    model = build_on_meta(published)
    blocks = [sum(p.numel() for p in block.parameters()) for block in model.all_blocks()]
    kept = quarter(len(blocks))
    counts = model.parameter_counts()
    return Sizes(
        published,
        total=counts["all"],
        in_blocks=counts["blocks"],
        stacks=tuple(model.stack_sizes),
        kept=len(kept),
        dropped=sum(count for block, count in enumerate(blocks) if block not in kept),
    )


def table(rows: Sequence[Sizes]) -> str:
    """A Markdown table with one line per model, then what has to be known to read it."""
    lines = [HEADER, f"|---|{'---:|' * 8}"]
    for one in rows:
        total = one.total * BYTES[one.published.dtype]
        lines.append(
            f"| {one.published.name} | {one.total / 1e6:.1f} | {one.in_blocks / 1e6:.1f} | "
            f"{(one.total - one.in_blocks) / 1e6:.1f} | {one.in_blocks / one.total:.0%} | "
            f"{' + '.join(map(str, one.stacks))} | {one.kept} | "
            f"{as_bytes(one.bytes_saved)} ({one.bytes_saved / total:.0%}) | "
            f"{one.flops_saved / 1e6:.0f} M ({one.dropped / one.in_blocks:.0%}) |"
        )
    lines += [
        "",
        "Bytes: of the stored precision; their share is of the whole checkpoint. FLOPs: 2 per "
        "parameter of a block and token, without attention scores; their share is of all blocks.",
        "",
    ]
    notes: dict[str, list[str]] = {}
    for one in rows:
        notes.setdefault(one.published.note, []).append(one.published.name)
    lines += [f"- {', '.join(names)}: {note}" for note, names in notes.items() if note]
    return "\n".join(lines)


def as_bytes(count: int) -> str:
    """A count of bytes in MB or GB, powers of ten."""
    return f"{count / 1e9:.2f} GB" if count >= 1e9 else f"{count / 1e6:.0f} MB"


def main(arguments: Sequence[str] | None = None) -> None:
    """Prints the table of some families; of all where none is named."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.bench.zoo",
        description="What keeping a quarter of the blocks saves, at the published sizes.",
    )
    parser.add_argument("families", nargs="*", help="of these only, for example chronos_bolt")
    families = parser.parse_args(arguments).families
    rows: list[Sizes] = []
    skipped: list[str] = []
    for published in PUBLISHED:
        if families and published.family not in families:
            continue
        try:
            rows.append(sizes_of_model(published))
        except ParamsError as error:
            skipped.append(f"{published.name}: {error}")
        except ModuleNotFoundError as error:
            if not (error.name or "").startswith("tasks.models.zoo."):
                raise
            skipped.append(f"{published.name}: family {published.family} is not there yet")
    print(table(rows))
    for line in skipped:
        print(f"- skipped {line}")


if __name__ == "__main__":
    main()

"""What `tests.bench.zoo_speed` measured: a row per model, and the lines that show it."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from tests.bench.zoo import as_bytes

HORIZON = 96
BATCHES = (1, 64)
SIDES = ("full", "kept")
HEADER = (
    "| model | blocks full -> kept | weights full -> kept | ms at batch 1 full -> kept | "
    "ms at batch 64 full -> kept | peak memory full -> kept |\n|---|---:|---:|---:|---:|---:|"
)
NOTES = (
    f"A quarter of the blocks is kept, evenly spaced. A forecast of {HORIZON} values from a "
    "random context; median of 10 calls behind 2 to warm up, of 2 or more behind 1 where calls "
    "take over a second. Peak memory: of weights and activations at batch 64, as torch allocates "
    "it. Products of fp32 matrices are made in TF32 on CUDA; Llama-7B is held in bf16. Moirai "
    "1.1's quantiles, which are drawn when they are asked for, take no part."
)


@dataclass
class Row:
    """What is measured of one model; by side ("full", "kept") what is there of it."""

    model: str
    family: str
    dtype: str
    blocks: dict[str, int] = field(default_factory=dict)
    weights_bytes: dict[str, int] = field(default_factory=dict)
    milliseconds: dict[tuple[str, int], float] = field(default_factory=dict)  # by side and batch
    peak_bytes: dict[tuple[str, int], int] = field(default_factory=dict)
    failed: str = ""

    def flat(self) -> dict[str, Any]:
        """As a line of zoo_speed.csv, empty where nothing was measured."""
        data = asdict(self)
        line = {name: data[name] for name in ("model", "family", "dtype")}
        for name in ("blocks", "weights_bytes"):
            line |= {f"{name}_{side}": data[name].get(side) for side in SIDES}
        for batch in BATCHES:
            for name in ("milliseconds", "peak_bytes"):
                line |= {
                    f"{name}_batch_{batch}_{side}": data[name].get((side, batch)) for side in SIDES
                }
            line[f"speedup_batch_{batch}"] = ratio(at_batch(self.milliseconds, batch))
        for name, found in (
            ("weights", self.weights_bytes),
            ("peak", at_batch(self.peak_bytes, BATCHES[-1])),
        ):
            saved = ratio(found)
            line[f"{name}_saved"] = None if saved is None else 1 - 1 / saved
        return line | {"failed": self.failed}


def at_batch(found: Mapping[tuple[str, int], float], batch: int) -> dict[str, float]:
    """By side what was measured at one batch size."""
    return {side: found[side, batch] for side in SIDES if (side, batch) in found}


def ratio(found: Mapping[str, float]) -> float | None:
    """Full over kept; None where one of them is missing."""
    return found["full"] / found["kept"] if len(found) == len(SIDES) else None


def cells(row: Row) -> str:
    """A line of the Markdown table."""
    blocks = " -> ".join(str(row.blocks[side]) for side in SIDES if side in row.blocks)
    parts = [f"{row.model}, {row.dtype}", blocks]
    parts.append(_sizes(row.weights_bytes))
    for batch in BATCHES:
        found = at_batch(row.milliseconds, batch)
        speedup = ratio(found)
        text = " -> ".join(f"{value:.2f}" for value in found.values())
        parts.append(text if speedup is None else f"{text} ({speedup:.2f}x)")
    parts.append(_sizes(at_batch(row.peak_bytes, BATCHES[-1])))
    if row.failed:
        parts[0] += f"; {row.failed.replace('|', '/')}"
    return f"| {' | '.join(part or '-' for part in parts)} |"


def _sizes(found: Mapping[str, float]) -> str:
    saved = ratio(found)
    text = " -> ".join(as_bytes(int(value)) for value in found.values())
    return text if saved is None else f"{text} (-{1 - 1 / saved:.0%})"

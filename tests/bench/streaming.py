"""What pruning and scoring of a large sharded checkpoint take when the model is never held.

The checkpoint is a Llama of 6.4 GB in bfloat16 (the shape of Llama-3.2-3B) with random weights, in
the folder of an `llm4ts` model. Every block has the same weights, which changes no size and no
time. Each measurement runs in a process of its own, whose largest resident memory is taken.
"""

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import torch
from safetensors.torch import save_file
from torch import Tensor

from tasks.artifacts.files import sha256_of, write_text
from tasks.metrics.latency import torch_threads
from tasks.models.backbones import STACKS
from tasks.models.block_by_block import open_block_by_block
from tasks.models.native import NativeConfig, NativeModel
from tasks.models.shards import WEIGHTS, bytes_of, split_shards, write_shards
from tasks.models.streaming import prune_checkpoint
from tasks.models.tensor_files import read_header, stored_tensors
from tasks.scorers.streaming import collect_streamed

BLOCKS, WIDTH = 28, 3072
LLAMA = {
    "model_type": "llama", "architectures": ["LlamaModel"], "hidden_size": WIDTH,
    "intermediate_size": 8192, "num_hidden_layers": BLOCKS, "num_attention_heads": 24,
    "num_key_value_heads": 8, "vocab_size": 128_256, "max_position_embeddings": 2048,
    "tie_word_embeddings": True, "dtype": "bfloat16",
}  # fmt: skip
KEEP = range(0, BLOCKS, 4)
CONTEXT, HORIZON, PATCH = 512, 96, 32
WINDOWS, BATCH = 32, 32
REPEATS = 3
PIECE = 8 * 2**20


@dataclass(frozen=True)
class Streaming:
    """Sizes in bytes.

    Attributes:
        whole: of the checkpoint's weights.
        kept: of those that the pruned one has.
        block: of the largest block.
        activations: states h_0 .. h_L of the calibration windows.
        prune_peak: memory of the process that prunes.
        prune_rate: its bytes read and written per second, over those of a plain copy.
        copy_rate: bytes read and written per second by a plain copy.
        score_peak: memory of the process that scores.
        score_seconds: its time.
    """

    whole: int
    kept: int
    block: int
    activations: int
    prune_peak: int
    prune_rate: float
    copy_rate: float
    score_peak: int
    score_seconds: float


def random_weight(shape: Tensor) -> Tensor:
    """A bfloat16 weight as a Llama has it; a norm's is 1."""
    weight = torch.empty(shape.shape, dtype=torch.bfloat16)
    return weight.fill_(1.0) if weight.ndim == 1 else weight.normal_(0, 0.02)


def in_block_0(name: str) -> str:
    """The name of the same weight of block 0; a weight outside of the stack keeps its own."""
    return re.sub(rf"^{STACKS['llama'].path}\.\d+\.", f"{STACKS['llama'].path}.0.", name)


def write_checkpoint(folder: Path) -> None:
    """A model folder whose backbone is the sharded Llama."""
    config = NativeConfig(
        family="llm4ts",
        backbone="llama",
        backbone_config=LLAMA,
        head="per_token",
        context=CONTEXT,
        horizon=HORIZON,
        patch=PATCH,
        stride=PATCH,
        kept=tuple(range(BLOCKS)),
        origin="random initialisation",
    )
    backbone, template = folder / "backbone", folder / "template.safetensors"
    backbone.mkdir(parents=True)
    with torch.device("meta"):
        model = NativeModel(config)
    small = {n: t for n, t in model.state_dict().items() if not n.startswith("backbone.")}
    save_file({n: torch.randn(t.shape) / 50 for n, t in small.items()}, folder / WEIGHTS)
    shapes = model.backbone.state_dict()
    first = {name: one for name, one in shapes.items() if in_block_0(name) == name}
    save_file({name: random_weight(one) for name, one in first.items()}, template)
    stored = read_header(template)
    write_shards(backbone, split_shards({name: stored[in_block_0(name)] for name in shapes}))
    template.unlink()
    write_text(backbone / "config.json", json.dumps(LLAMA))
    names = [WEIGHTS, *(f"backbone/{shard.name}" for shard in backbone.glob("*.safetensors"))]
    hashes = {name: sha256_of(folder / name) for name in names}
    data = {"config": config.model_dump(mode="json"), "sha256": hashes}
    write_text(folder / "config.json", json.dumps(data))


def peak_bytes() -> int:
    """The largest resident memory of this process so far, mapped files included."""
    status = Path("/proc/self/status").read_text()
    found = re.search(r"VmHWM:\s*(\d+) kB", status)
    assert found, "/proc/self/status names no VmHWM"
    return 1024 * int(found[1])


def forget(folder: Path) -> None:
    """Writes back and drops from the page cache all files below a folder."""
    for path in folder.rglob("*.safetensors"):
        with path.open("rb") as file:
            os.fsync(file.fileno())
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def copy_seconds(folder: Path, num_bytes: int, target: Path) -> float:
    """Time to copy the first bytes of a folder's weights into one file, until it is on disk."""
    forget(folder)
    started = time.perf_counter()
    with target.open("wb", buffering=0) as to:
        for path in sorted(folder.glob("*.safetensors")):
            with path.open("rb", buffering=0) as source:
                while num_bytes and (piece := source.read(min(PIECE, num_bytes))):
                    to.write(piece)
                    num_bytes -= len(piece)
        os.fsync(to.fileno())
    seconds = time.perf_counter() - started
    target.unlink()
    return seconds


def in_a_process(*arguments: str) -> dict[str, float]:
    """Peak memory and seconds of one of the measurements of `main`."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.bench.streaming", *arguments],
        capture_output=True,
        text=True,
        check=True,
    )
    found: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return found


def prune_seconds(folder: Path, out: Path) -> dict[str, float]:
    """Peak memory and seconds of a pruning, until all is on disk; what it wrote is deleted."""
    forget(folder)
    found = in_a_process("prune", str(folder), str(out))
    shutil.rmtree(out)
    return found


def measure_streaming(project: Path) -> Streaming:
    """All figures; needs 9 GB of disk below .state/ and takes some minutes."""
    place = project / ".state/bench"
    place.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=place) as name:
        folder, backbone = Path(name) / "model", Path(name) / "model/backbone"
        write_checkpoint(folder)
        tensors = stored_tensors(backbone)
        blocks = [
            bytes_of({n: t for n, t in tensors.items() if n.startswith(f"layers.{number}.")})
            for number in range(BLOCKS)
        ]
        kept = bytes_of(tensors) - sum(blocks) + sum(blocks[number] for number in KEEP)
        copies, prunes = [], []
        for _ in range(REPEATS):
            copies.append(copy_seconds(backbone, kept, Path(name) / "copy"))
            prunes.append(prune_seconds(backbone, Path(name) / "pruned"))
        forget(backbone)
        scored = in_a_process("score", str(folder))
    copy = median(copies)
    return Streaming(
        whole=bytes_of(tensors),
        kept=kept,
        block=max(blocks),
        activations=4 * (BLOCKS + 1) * WINDOWS * (CONTEXT // PATCH) * WIDTH,
        prune_peak=int(max(one["peak"] for one in prunes)),
        prune_rate=copy / median(one["seconds"] for one in prunes),
        copy_rate=2 * kept / copy,
        score_peak=int(scored["peak"]),
        score_seconds=scored["seconds"],
    )


def main(what: str, folder: str, *out: str) -> None:
    """One measurement, printed as JSON: `prune FOLDER OUT` or `score FOLDER`."""
    started = time.perf_counter()
    if what == "prune":
        prune_checkpoint(Path(folder), Path(out[0]), [STACKS["llama"]], KEEP)
    elif what == "score":
        windows = torch.randn(WINDOWS, CONTEXT, generator=torch.Generator().manual_seed(0))
        with torch_threads(1):
            collect_streamed(open_block_by_block(Path(folder)), windows.cumsum(1), BATCH)
    else:
        raise SystemExit("usage: python -m tests.bench.streaming prune FOLDER OUT | score FOLDER")
    print(json.dumps({"peak": peak_bytes(), "seconds": time.perf_counter() - started}))


if __name__ == "__main__":
    main(*sys.argv[1:])

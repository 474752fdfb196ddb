"""`make parity`: our own modules against the libraries they were written after, weight for weight.

Every library gets a virtual environment of its own below .state/parity. It is installed without its
dependencies, most of which (torch, numpy) come from the environment that runs this; the few others
are named here. A model of ours gets random weights and is saved; the library reads the folder,
strictly, and forecasts; so do we. Needs a network the first time, and Python 3.11 for the older
packages.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import sysconfig
import tempfile
import venv
from dataclasses import dataclass
from pathlib import Path

import torch
from rich.console import Console
from rich.table import Table
from safetensors.torch import load_file, save_file
from torch import Tensor

from tests import ROOT
from tests.parity.cases import (
    MOIRAI,
    MOIRAI2,
    MOMENT,
    SEED,
    SUNDIAL,
    TIME_MOE,
    TIMER,
    Case,
    model_of,
    windows,
)

TOLERANCE = 1e-5
UNI2TS = (
    "gluonts==0.14.4", "lightning==2.6.0", "pytorch-lightning==2.6.0",
    "lightning-utilities==0.15.3", "torchmetrics==1.9.0", "hydra-core==1.3.2", "omegaconf==2.3.0",
    "antlr4-python3-runtime==4.9.3", "einops==0.8.2", "toolz==1.1.0",
)  # fmt: skip
SKTIME = (
    "scikit-base==1.0.0", "transformers==4.40.1", "tokenizers==0.19.1", "huggingface-hub==0.23.0",
)  # fmt: skip
TRANSFORMERS = ("transformers==4.33.3", "tokenizers==0.13.3", "huggingface-hub==0.24.0")


@dataclass(frozen=True)
class Library:
    """A library, what it needs beside this environment's packages, its script, and its cases."""

    name: str
    needs: tuple[str, ...]
    script: str
    cases: list[Case]


LIBRARIES = [
    Library("uni2ts==2.0.0", UNI2TS, "library_moirai.py", MOIRAI + MOIRAI2),
    Library("uni2ts==1.2.0", UNI2TS, "library_moirai.py", MOIRAI),
    Library("momentfm==0.1.4", TRANSFORMERS, "library_moment.py", MOMENT),
    Library("sktime==1.2.0", SKTIME, "library_decoders.py", SUNDIAL + TIMER + TIME_MOE),
]


def environment(library: Library, state: Path) -> Path:
    """The Python of a library's environment, made if it does not stand."""
    folder = state / library.name.replace("==", "-")
    python, ready = folder / "bin" / "python", folder / "ready"
    wanted = "\n".join([library.name, *library.needs])
    if not ready.is_file() or ready.read_text(encoding="utf-8") != wanted:
        shutil.rmtree(folder, ignore_errors=True)
        venv.create(folder, with_pip=True)
        site = next(folder.glob("lib/python*/site-packages"))
        (site / "borrowed.pth").write_text(sysconfig.get_path("purelib"), encoding="utf-8")
        pip = [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        subprocess.run([*pip, "--no-deps", library.name, *library.needs], check=True)
        ready.write_text(wanted, encoding="utf-8")
    return python


def ours(case: Case, folder: Path) -> dict[str, Tensor]:
    """Our numbers; the model, the windows and what is asked of them are left in the folder."""
    model, window = model_of(case), windows(case.context + case.steps, case.gaps)
    model.save(folder)
    told = {"family": case.family, "context": case.context, "horizon": case.steps}
    told |= {"options": case.options, "seed": SEED}
    (folder / "case.json").write_text(json.dumps(told), encoding="utf-8")
    save_file({"window": window}, folder / "window.safetensors")
    with torch.no_grad():
        return case.make(model, window, case.steps)


def difference(one: Tensor, other: Tensor) -> float:
    """The largest of all, relative to the largest of its series, lest a large one hide it."""
    pairs = zip(one, other.float(), strict=True)
    return max(float((own - their).abs().max() / their.abs().max()) for own, their in pairs)


def compare(library: Library, state: Path) -> list[tuple[str, str, float]]:
    """Case, name of the numbers, and how far they lie apart."""
    python, script = environment(library, state), ROOT / "tests" / "parity" / library.script
    quiet = {**os.environ, "PYTHONWARNINGS": "ignore", "HF_HUB_OFFLINE": "1"}
    with tempfile.TemporaryDirectory() as made:
        folders = [Path(made) / str(number) for number in range(len(library.cases))]
        found = [ours(*pair) for pair in zip(library.cases, folders, strict=True)]
        subprocess.run([python, script, *folders], check=True, env=quiet)
        theirs = [load_file(folder / "found.safetensors") for folder in folders]
    return [
        (str(case), name, difference(own[name], their[name]))
        for case, own, their in zip(library.cases, found, theirs, strict=True)
        for name in sorted(own.keys() | their.keys())
    ]


def main() -> int:
    """The exit status: 1 where numbers lie further apart than TOLERANCE."""
    argparse.ArgumentParser(
        prog="python -m tests.parity",
        description="Our own modules against the libraries, each in an environment made for it.",
    ).parse_args()
    state = ROOT / ".state" / "parity"
    table = Table("library", "case", "compared", "largest relative difference")
    found: list[float] = []
    for library in LIBRARIES:
        for case, name, error in compare(library, state):
            table.add_row(library.name, case, name, f"{error:.1e}")
            found.append(error)
    Console(width=120).print(table)
    print(f"largest difference {max(found):.1e}, allowed {TOLERANCE:.0e}")
    return int(not all(error <= TOLERANCE for error in found))


if __name__ == "__main__":
    sys.exit(main())

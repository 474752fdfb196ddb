"""What every stage process needs: entry point, logging, progress, seeds, threads, device."""

import argparse
import ctypes
import gc
import logging
import signal
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import TYPE_CHECKING, NoReturn, Self

from rich.progress import Progress as RichProgress

from tasks.errors import FewlayersError, ParamsError
from tasks.params import Params, load_params

if TYPE_CHECKING:
    import torch  # imported late: reading and checking data start without it

PR_SET_PDEATHSIG = 1
PLAIN_SECONDS = 2.0
STOPPED_STATUS = 143  # 128 + SIGTERM

_finishes_step = False  # whether SIGTERM waits for the end of a step
_is_asked_to_stop = False

log = logging.getLogger(__name__)


def die_with_parent() -> None:
    """Asks Linux to send SIGTERM to this process when its parent dies; elsewhere nothing."""
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)


def run_stage(main: Callable[[list[str]], None], argv: list[str] | None = None) -> NoReturn:
    """Runs a stage's `main` and exits: 0 done, 1 our error in one line, 2 usage, 143 stopped."""
    gc.freeze()  # what is imported by now lives to the end, which a collection need not find out
    gc.enable()
    die_with_parent()
    signal.signal(signal.SIGTERM, _stop)
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stdout, force=True)
    for noisy in ("httpx", "urllib3", "optuna", "matplotlib", "fontTools"):
        logging.getLogger(noisy).setLevel(logging.WARNING)
    try:
        main(sys.argv[1:] if argv is None else argv)
    except FewlayersError as error:
        sys.stdout.flush()
        print(f"error: {' '.join(str(error).split())}", file=sys.stderr, flush=True)
        raise SystemExit(1) from None
    except KeyboardInterrupt:
        raise SystemExit(130) from None
    raise SystemExit(0)


def _stop(_signal: int, _frame: object) -> None:
    global _is_asked_to_stop
    _is_asked_to_stop = True
    if not _finishes_step:
        raise SystemExit(STOPPED_STATUS)


@contextmanager
def stopping_between_steps() -> Iterator[Callable[[], bool]]:
    """Inside, SIGTERM ends nothing; what is given says whether it came.

    The caller asks after every step, saves its state and exits with STOPPED_STATUS. Where it came
    during the last step, the process exits when the context ends.
    """
    global _finishes_step
    _finishes_step = True
    try:
        yield lambda: _is_asked_to_stop
    finally:
        _finishes_step = False
    if _is_asked_to_stop:
        raise SystemExit(STOPPED_STATUS)


def stage_parser(
    module: str, description: str, *, selects: Iterable[str]
) -> argparse.ArgumentParser:
    """The command line of a stage: options select work, params.yaml holds the values.

    Args:
        module: for example "tasks.train".
        description: one sentence on what the stage reads and writes.
        selects: the required options, for example ("dataset", "model").
    """
    parser = argparse.ArgumentParser(
        prog=f"python -m {module}",
        description=f"{description} Values come from params.yaml; dvc.yaml tells dependencies.",
    )
    for name in selects:
        parser.add_argument(f"--{name}", required=True, help=f"a {name} named in params.yaml")
    return parser


def load_selected(*, datasets: Iterable[str] = (), models: Iterable[str] = ()) -> Params:
    """params.yaml of the working folder, with the selected names checked and runtime applied.

    Raises:
        ParamsError: params.yaml is not valid or does not know a name.
    """
    params = load_params()
    for kind, names, known in (
        ("dataset", datasets, params.datasets),
        ("model", models, params.models),
    ):
        for name in names:
            if name not in known:
                raise ParamsError(
                    f"params.yaml has no {kind} named {name!r}; it has: {', '.join(known)}"
                )
    set_threads(params.runtime.threads)
    return params


def set_threads(threads: int) -> None:
    """Sets torch's threads; a stage that has not imported torch does without it."""
    if "torch" in sys.modules:
        sys.modules["torch"].set_num_threads(threads)


def seed_for(seed: int, *parts: str | int) -> int:
    """A seed that differs for every combination of parts and never changes between runs."""
    import hashlib

    text = "/".join(str(part) for part in (seed, *parts))
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:4], "big") & 0x7FFFFFFF


@contextmanager
def drawing(device: "torch.device", seed: int) -> Iterator[None]:
    """Inside the context torch draws what this seed says; outside nothing changes."""
    import torch

    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        torch.manual_seed(seed)
        yield


def pick_device(choice: str) -> "torch.device":
    """The device asked for; `auto` takes CUDA where there is one. Raises ParamsError.

    On CUDA products of fp32 matrices are made in TF32 (10 bits of mantissa), several times faster.
    """
    import torch

    has_cuda = torch.cuda.is_available()
    if choice == "cuda" and not has_cuda:
        raise ParamsError("runtime.device is 'cuda' but torch sees no CUDA device; set it to auto")
    if not has_cuda or choice == "cpu":
        return torch.device("cpu")
    torch.set_float32_matmul_precision("high")
    return torch.device("cuda")


class Progress:
    """Progress of long work: a rich bar on a terminal, plain lines elsewhere.

    Plain lines read `WHAT: DONE/TOTAL TEXT` and come at most every two seconds, the last always.
    """

    def __init__(self, what: str, total: int) -> None:
        """`what` names the work, for example "train demo/tsfm-pico"."""
        self.what, self.total, self.last = what, total, 0.0
        self.bar = RichProgress() if sys.stdout.isatty() else None
        self.task = self.bar.add_task(what, total=total) if self.bar else None

    def __enter__(self) -> Self:
        if self.bar:
            self.bar.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self.bar:
            self.bar.stop()

    def update(self, done: int, text: str = "") -> None:
        """Says that `done` of the total units are done."""
        if self.bar and self.task is not None:
            self.bar.update(self.task, completed=done, description=f"{self.what} {text}")
            return
        now = time.monotonic()
        if done >= self.total or now - self.last >= PLAIN_SECONDS:
            self.last = now
            print(f"{self.what}: {done}/{self.total} {text}".rstrip(), flush=True)

"""Peak memory of a piece of work."""

import ctypes
import gc
import resource
import sys
from collections.abc import Callable
from pathlib import Path

import torch

STATUS = Path("/proc/self/status")
CLEAR_REFS = Path("/proc/self/clear_refs")


def peak_bytes(work: Callable[[], object], device: torch.device) -> int:
    """Bytes that `work` needs at its peak beyond what the process holds before it.

    On CUDA the allocator's peak. On Linux the kernel's high-water mark of this process, reset
    before the work: `ru_maxrss` would start at the size of the process that started this one,
    because it survives fork and exec. Elsewhere `ru_maxrss`. Call it in a fresh process, after a
    first run of `work` has done the imports and made the caches that are no part of its need.
    """
    gc.collect()
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
        held = torch.cuda.memory_allocated(device)
        work()
        return torch.cuda.max_memory_allocated(device) - held
    if sys.platform != "linux":
        held = _max_resident()
        work()
        return max(0, _max_resident() - held)
    _release_free_pages()
    CLEAR_REFS.write_text("5", encoding="ascii")  # the high-water mark becomes the present size
    held = _status_bytes("VmRSS")
    work()
    return max(0, _status_bytes("VmHWM") - held)


def _release_free_pages() -> None:
    """Gives pages that the C allocator keeps free back to the kernel, where it can."""
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)


def _status_bytes(field: str) -> int:
    """A line such as `VmHWM:   123456 kB` of the kernel's status file."""
    lines = STATUS.read_text(encoding="ascii").splitlines()
    sizes = [line.split()[1] for line in lines if line.startswith(f"{field}:")]
    return int(sizes[0]) * 1024


def _max_resident() -> int:
    size = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return size if sys.platform == "darwin" else size * 1024

"""The environment that every stage gets, whoever starts it."""

from typing import Final

THREAD_VARIABLES: Final = (
    "OMP_NUM_THREADS",
    "MKL_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "NUMEXPR_NUM_THREADS",
)


def stage_variables(threads: int) -> dict[str, str]:
    """The threads it may use, unbuffered output, and no telemetry."""
    counts = dict.fromkeys(THREAD_VARIABLES, str(threads))
    return {**counts, "PYTHONUNBUFFERED": "1", "HF_HUB_DISABLE_TELEMETRY": "1"}

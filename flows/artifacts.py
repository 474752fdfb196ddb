"""What a run leaves in the Prefect UI: progress of long stages, tables, and the report's plots."""

import base64
import logging
import re
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final
from uuid import UUID

from prefect.artifacts import (
    create_markdown_artifact,
    create_progress_artifact,
    create_table_artifact,
    update_progress_artifact,
)

from flows.progress import Progress
from flows.summary import summary_rows

UPDATE_SECONDS: Final = 2.0
EMBEDDED_BYTES: Final = 300_000
SHOWN: Final = (
    "dataset", "model", "layers_kept", "layers_full", "mse_full", "mse_pruned", "verdict",
    "speedup_p50",
)  # fmt: skip

log = logging.getLogger(__name__)


def artifact_key(text: str) -> str:
    """A key as Prefect wants it: lower-case letters, digits and dashes."""
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")


class StageProgress:
    """One stage's progress artifact, made at its first progress line; final."""

    def __init__(self, stage: str, clock: Callable[[], float] = time.monotonic) -> None:
        """`clock` gives seconds; updates are sent at most every two of them."""
        self._stage, self._clock = stage, clock
        self._id: UUID | None = None
        self._sent = -UPDATE_SECONDS

    def show(self, step: Progress) -> None:
        """Shows a step, unless the last one was shown a moment ago."""
        now = self._clock()
        if step.done < step.total and now - self._sent < UPDATE_SECONDS:
            return
        self._sent = now
        _try(lambda: self._send(step))

    def _send(self, step: Progress) -> None:
        text = f"{step.what}: {step.done}/{step.total} {step.text}".rstrip()
        if self._id is None:
            made = create_progress_artifact(
                step.percent, key=artifact_key(f"progress-{self._stage}"), description=text
            )
            self._id = made if isinstance(made, UUID) else None
        else:
            update_progress_artifact(self._id, progress=step.percent, description=text)


def _try(action: Callable[[], object]) -> None:
    """An artifact that cannot be sent is worth a warning, never a failed stage."""
    try:
        action()
    except Exception as error:
        log.warning("artifact not shown: %s", " ".join(str(error).split()))


def show_stages(rows: list[dict[str, Any]]) -> None:
    """The table of all stages with state, seconds and message."""
    _try(lambda: create_table_artifact(rows, key="stages", description="Stages of this run"))


def show_report(root: Path) -> None:
    """The results table, the key plots and the way to the report, where `report` made them."""
    rows = summary_rows(root / "reports" / "summary.json")
    if rows:
        table = [{key: row.get(key) for key in SHOWN} for row in rows]
        _try(lambda: create_table_artifact(table, key="results", description="Pruned models"))
    report = root / "reports" / "index.html"
    if report.is_file():
        text = report_markdown(root)
        _try(lambda: create_markdown_artifact(text, key="report", description="Report"))


def report_markdown(root: Path) -> str:
    """Markdown that links the report and holds the small plots of reports/figures."""
    report = (root / "reports" / "index.html").resolve()
    link = f"[Open the report]({report.as_uri()}) on the machine of this run: `{report}`"
    parts = [f"# Report\n\n{link}\n"]
    for figure in sorted((root / "reports" / "figures").glob("*.png")):
        if figure.stat().st_size <= EMBEDDED_BYTES:
            data = base64.b64encode(figure.read_bytes()).decode("ascii")
            parts.append(f"## {figure.stem}\n\n![{figure.stem}](data:image/png;base64,{data})\n")
    return "\n".join(parts)

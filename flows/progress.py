"""Reading a stage's output: progress lines, and which lines are worth a person's time."""

import re
from dataclasses import dataclass
from typing import Final

PROGRESS_LINE: Final = re.compile(r"^(?P<what>.+): (?P<done>\d+)/(?P<total>\d+)( (?P<text>.*))?$")
DVC_LINE: Final = re.compile(
    r"^(> |Running stage |Stage '|Updating lock file|Generating lock file|Use `dvc push`|"
    r"Verifying data sources|'.*' didn't change|ERROR: failed to reproduce|"
    r"To track the changes|To enable auto staging|Data and pipelines are up to date|\s*git add )"
)


@dataclass(frozen=True)
class Progress:
    """One progress line: `train demo/tsfm-pico: 120/2000 valid_mse 0.3121`."""

    what: str
    done: int
    total: int
    text: str

    @property
    def percent(self) -> float:
        """Share done, from 0 to 100."""
        return 100.0 * min(self.done, self.total) / self.total if self.total else 100.0


def parse_progress(line: str) -> Progress | None:
    """The progress that a line tells; None for any other line."""
    found = PROGRESS_LINE.match(line)
    if found is None:
        return None
    return Progress(found["what"], int(found["done"]), int(found["total"]), found["text"] or "")


def is_dvc_chatter(line: str) -> bool:
    """True for what DVC says about itself, as against what the stage says."""
    return not line.strip() or DVC_LINE.match(line) is not None

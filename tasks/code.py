"""Stage `code`: the checksums of the code of every stage, so that a change reruns its readers only.

Each of the other stages depends on one small file instead of on each of its modules: DVC reads and
writes all of dvc.lock around every stage, which took longer than many a stage while it listed them.
"""

import logging
from pathlib import Path

from tasks.artifacts.files import write_text
from tasks.pipeline.code import checksums, code_files
from tasks.runtime import run_stage, stage_parser

log = logging.getLogger(__name__)


def main(argv: list[str]) -> None:
    """tasks/ -> code/NAME.sha256 for every module tasks/NAME.py; `sha256sum -c` reads them."""
    stage_parser(
        "tasks.code", "Writes the checksums of the code of every stage to code/.", selects=()
    ).parse_args(argv)
    root = Path()
    modules = sorted(Path("tasks").glob("[!_]*.py"))
    for module in modules:
        text = checksums(root, code_files(root, module))
        write_text(Path("code") / f"{module.stem}.sha256", text)
    log.info("wrote code/: checksums of the code of %d modules", len(modules))


if __name__ == "__main__":
    run_stage(main)

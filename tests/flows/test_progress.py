"""Progress lines, DVC's chatter, and what a person sees of both."""

import io

import pytest
from rich.console import Console

from flows.console import Bars, Plain
from flows.progress import Progress, is_dvc_chatter, parse_progress


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        (
            "train demo/tsfm-pico: 120/2000 valid_mse 0.3121",
            Progress("train demo/tsfm-pico", 120, 2000, "valid_mse 0.3121"),
        ),
        ("search a/b: 7/7", Progress("search a/b", 7, 7, "")),
        ("wrote reports/index.html: 3 figures", None),
        ("ratio: 1/x", None),
    ],
)
def test_progress_lines_are_told_from_others(line: str, expected: Progress | None) -> None:
    assert parse_progress(line) == expected


@pytest.mark.parametrize(("done", "total", "percent"), [(0, 4, 0), (1, 4, 25), (9, 4, 100)])
def test_percent_stays_between_0_and_100(done: int, total: int, percent: float) -> None:
    assert Progress("x", done, total, "").percent == percent
    assert Progress("x", 0, 0, "").percent == 100


@pytest.mark.parametrize(
    ("line", "is_chatter"),
    [
        ("Running stage 'train@a-b':", True),
        ("> python -m tasks.train --dataset a --model b", True),
        ("Updating lock file 'dvc.lock'", True),
        ("", True),
        ("train a/b: 1/2", False),
        ("error: patch must be at most context", False),
    ],
)
def test_dvc_chatter_is_told_from_the_stages_words(line: str, is_chatter: bool) -> None:
    assert is_dvc_chatter(line) is is_chatter


def test_plain_listener_is_silent_on_cached_stages(capsys: pytest.CaptureFixture[str]) -> None:
    plain = Plain()
    plain.finished("a", "Cached", 0.1, "")
    plain.started("b")
    plain.said("b", "Running stage 'b':")
    plain.said("b", "b: 1/2 half")
    plain.finished("b", "Failed", 2.0, "the answer must be 42")
    assert capsys.readouterr().out.splitlines() == [
        "b: running",
        "b | b: 1/2 half",
        "b: failed after 2.0 s: the answer must be 42",
    ]


def test_plain_listener_tells_progress_now_and_then_but_always_the_last(
    capsys: pytest.CaptureFixture[str],
) -> None:
    seconds = iter([0.0, 19.0, 19.5, 20.0, 21.0, 22.0])
    plain = Plain(clock=lambda: next(seconds))
    for line in ("b: 1/9", "b: 2/9", "saved b", "b: 3/9", "c: 1/9", "b: 9/9"):
        plain.said("b", line)
    assert capsys.readouterr().out.splitlines() == [
        "b | b: 1/9", "b | saved b", "b | b: 3/9", "b | c: 1/9", "b | b: 9/9",
    ]  # fmt: skip


def test_bars_leave_one_line_per_finished_stage() -> None:
    stream = io.StringIO()
    with Bars(Console(file=stream, force_terminal=True, width=100)) as bars:
        bars.finished("a", "Cached", 0.1, "")
        bars.started("b")
        bars.said("b", "b: 1/2 half")
        bars.finished("b", "Completed", 2.0, "")
    assert "b: completed after 2.0 s" in stream.getvalue()
    assert "a: " not in stream.getvalue()

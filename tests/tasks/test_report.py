import json
import re
from html.parser import HTMLParser
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from tasks.artifacts.data import Profile
from tasks.artifacts.evaluation import Evaluation
from tasks.report import main, write_report
from tests.tasks.figures.made_up_run import made_up_params, write_run

KEYS = (
    "dataset model family layers_full layers_kept keep params_full params_pruned mse_full "
    "mse_pruned mae_full mae_pruned verdict margin p_value speedup_p50 latency_full_ms "
    "latency_pruned_ms controls recommendation reason p_superior diebold_mariano "
    "full_still_improving full_late_change stationary_share layers_are granularity"
)
HOSTILE = '<script>alert(1)</script><img src=x onerror="alert(2)">'


class Links(HTMLParser):
    """Collects what a page would load or run."""

    def __init__(self) -> None:
        super().__init__()
        self.loads: list[str] = []
        self.tags: list[str] = []
        self.ids: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        for name, value in attrs:
            if name in {"src", "href", "xlink:href", "srcset", "action", "data"}:
                self.loads.append(value or "")
            if name == "id":
                self.ids.append(value or "")


@pytest.fixture(scope="module")
def reports(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("run")
    write_report(root, write_run(root))
    return root / "reports"


@pytest.fixture(scope="module")
def page(reports: Path) -> str:
    return (reports / "index.html").read_text(encoding="utf-8")


def test_the_summary_has_the_agreed_keys_in_order(reports: Path) -> None:
    rows = json.loads((reports / "summary.json").read_text())
    assert [list(row) for row in rows] == [KEYS.split()] * 4
    assert all(set(errors) == {"mse", "mae"} for row in rows for errors in row["controls"].values())


def test_the_summary_holds_the_values_of_the_artifacts(reports: Path) -> None:
    rows = json.loads((reports / "summary.json").read_text())
    row = next(row for row in rows if (row["dataset"], row["model"]) == ("demo", "tsfm-nano"))
    assert row["mse_full"] == 0.3871
    assert row["keep"] == [0, 1, 5]
    assert (row["params_full"], row["params_pruned"]) == (640_000, 190_000)
    assert row["speedup_p50"] == 3.2
    assert row["latency_full_ms"] == pytest.approx(3.2 * row["latency_pruned_ms"])
    panel = {"random_0", "random_4", "first", "last", "even", "zero", "scratch", "full_extra"}
    assert panel | {"seasonal_naive", "linear", "full_untuned"} <= set(row["controls"])


def test_p_values_are_corrected_over_the_datasets_of_a_model(reports: Path) -> None:
    rows = json.loads((reports / "summary.json").read_text())
    found = {(row["dataset"], row["model"]): row["p_value"] for row in rows}
    assert found["demo", "tsfm-pico"] == pytest.approx(0.002)
    assert found["weather", "tsfm-pico"] == pytest.approx(0.034)


def test_the_other_test_and_the_checks_stand_beside_the_verdict(reports: Path) -> None:
    rows = json.loads((reports / "summary.json").read_text())
    row = next(row for row in rows if (row["dataset"], row["model"]) == ("weather", "tsfm-pico"))
    assert row["diebold_mariano"] == {
        "verdict": "non-inferior",
        "p_value": 0.03,
        "p_superior": 0.86,
    }
    assert row["p_superior"] == pytest.approx(0.4)
    assert row["full_still_improving"] is False
    assert row["full_late_change"] == pytest.approx(-0.008)
    assert row["stationary_share"] == pytest.approx(4 / 7)
    assert row["layers_are"] == "partly"


def test_the_page_loads_nothing_and_runs_nothing(page: str) -> None:
    links = Links()
    links.feed(page)
    assert all(load.startswith(("#", "data:image/")) for load in links.loads)
    assert not {"script", "link", "iframe", "object", "embed"} & set(links.tags)
    assert "@import" not in page
    assert not re.search(r"url\((?!#)", page)


def test_the_page_has_no_doubled_id_and_no_dead_anchor(page: str) -> None:
    links = Links()
    links.feed(page)
    assert len(links.ids) == len(set(links.ids))
    anchors = {load[1:] for load in links.loads if load.startswith("#")}
    assert anchors <= set(links.ids)


@pytest.mark.parametrize(
    "text",
    [
        "Take the pruned model in 4 of 4 cases.",
        "selection adds nothing here", "Selection adds nothing</b> in 2 of 4 cases",
        "weather / tsfm-pico;\nweather / tsfm-nano.\n</p>",
        "synthetic data", "non-inferior", "Where along the horizon", "Cosine similarity", "CKA",
        "removal loss", "the larger model does not win", "Kendall", "seasonal naive",
        "Are these the layers?", "Diebold-Mariano", "not improving", "57.1 %", "threads",
        "peak memory", "torch", "bootstrap_samples: 2000", "stationary",
    ],
)  # fmt: skip
def test_the_page_says_it(page: str, text: str) -> None:
    assert text in page


def test_the_key_plots_are_small_images(reports: Path) -> None:
    images = sorted((reports / "figures").iterdir())
    assert len(images) == 9
    assert all(image.suffix == ".png" and image.stat().st_size < 150_000 for image in images)


def test_the_same_artifacts_give_the_same_bytes(reports: Path, tmp_path: Path) -> None:
    write_report(tmp_path, write_run(tmp_path))
    for path in sorted(reports.rglob("*.*")):
        assert path.read_bytes() == (tmp_path / "reports" / path.relative_to(reports)).read_bytes()


def test_hostile_names_stay_text(tmp_path: Path) -> None:
    params = write_run(tmp_path, datasets=["demo"], models=["tsfm-pico"])
    metrics = tmp_path / "evaluation/demo/tsfm-pico/evaluation.json"
    changed = {"reason": HOSTILE, "backbone_label": HOSTILE, "family": HOSTILE}
    Evaluation.read(metrics).model_copy(update=changed).write(metrics)
    profile = tmp_path / "data/prepared/demo/profile.json"
    texts = {"warnings": [HOSTILE], "fixed": [HOSTILE], "freq": HOSTILE}
    Profile.read(profile).model_copy(update=texts).write(profile)
    forecasts = tmp_path / "evaluation/demo/tsfm-pico/forecasts.json"
    samples = json.loads(forecasts.read_text())
    samples[0]["series"] = f"{HOSTILE} $x_1$"
    samples[1]["series"] = "温度"
    forecasts.write_text(json.dumps(samples))
    write_report(tmp_path, params)
    links = Links()
    links.feed((tmp_path / "reports/index.html").read_text(encoding="utf-8"))
    assert "script" not in links.tags
    assert "img" not in links.tags


def test_one_pair_has_no_contents_and_old_images_go(tmp_path: Path) -> None:
    old = tmp_path / "reports/figures/scale.png"
    old.parent.mkdir(parents=True)
    old.write_bytes(b"old")
    write_report(tmp_path, write_run(tmp_path, datasets=["demo"], models=["tsfm-pico"]))
    assert not old.exists()
    assert "<nav" not in (tmp_path / "reports/index.html").read_text(encoding="utf-8")


def test_a_model_without_training_steps_can_be_reported(tmp_path: Path) -> None:
    params = write_run(tmp_path, datasets=["demo"], models=["tsfm-pico"])
    header = "step,learning_rate,train_loss,valid_mse\n"
    (tmp_path / "plots/train/demo/tsfm-pico.csv").write_text(header)
    (tmp_path / "plots/heal/demo/tsfm-pico.csv").write_text(f"option,{header}")
    write_report(tmp_path, params)
    assert (tmp_path / "reports/summary.json").is_file()


def test_the_stage_reads_params_of_the_working_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    choice = {"datasets": ["demo"], "models": {"tsfm-pico": "none"}}
    write_run(tmp_path, **choice)
    with (tmp_path / "params.yaml").open("w") as file:
        YAML(typ="safe", pure=True).dump(made_up_params(**choice), file)
    monkeypatch.chdir(tmp_path)
    main([])
    assert (tmp_path / "reports/index.html").is_file()

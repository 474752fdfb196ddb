"""The stages, one after the other in one process, with `granularity: sublayer`."""

from pathlib import Path

import pytest
from transformers import AutoModel

from flows.summary import plain_console, result_table, summary_rows
from tasks import (
    controls,
    evaluate,
    generate,
    measure,
    prepare,
    prune,
    report,
    score,
    search,
    stability,
    start,
    train,
)
from tasks.artifacts.evaluation import Evaluation, Measurement
from tasks.artifacts.scoring import Scores
from tasks.artifacts.search import SearchResult
from tasks.figures.inputs import read_table
from tasks.metrics.stability import Stability
from tasks.metrics.study import task_row
from tasks.models.registry import load_model
from tasks.models.sublayers import SublayerModel
from tasks.params import yaml_text
from tasks.presets import load_preset, merge
from tests import ROOT

pytestmark = pytest.mark.slow

OVERRIDE = {
    "granularity": "sublayer",
    "generator": {"rows": 800},
    "scales": {"pico": {"blocks": 3}},
    "training": {"steps": 6, "eval_every": 3},
    "scoring": {"sensitivity": {"windows": [], "draws": []}},
    "search": {"cost": "latency", "rungs": [2]},
    "healing": {"steps": 4, "options": ["plain", "iterative+hidden_cut"], "seam_repair": True},
    "controls": {"random_masks": 2},
    "evaluation": {"stride": 4},
}
PAIR = Path("demo/tsfm-pico")
UNITS = 6


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("sublayers")
    content = merge(load_preset(ROOT / "params.yaml", "smoke"), OVERRIDE)
    (root / "params.yaml").write_text(yaml_text(content))
    dataset, model = ["--dataset", "demo"], ["--model", "tsfm-pico"]
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(root)
        patch.setenv("PYTHONPATH", str(ROOT))  # `measure` starts processes
        generate.main([])
        prepare.main(dataset)
        start.main(model)
        for stage in (train, score, search, stability, prune, controls, evaluate, measure):
            stage.main([*dataset, *model])
        report.main([])
    return root


def test_every_stage_speaks_of_sublayers(run):
    scores = Scores.read(run / "scores" / f"{PAIR}.json")
    assert {len(score.values) for score in scores.scores.values()} == {UNITS}
    found = SearchResult.read(run / "search" / PAIR / "search.json")
    assert (found.granularity, found.num_blocks, found.sizes) == ("sublayer", UNITS, [1, 3])
    choices = Stability.read(run / "stability" / f"{PAIR}.json")
    assert (choices.granularity, choices.num_blocks) == ("sublayer", UNITS)
    judged = Evaluation.read(run / "evaluation" / PAIR / "evaluation.json")
    assert (judged.granularity, judged.layers_full) == ("sublayer", UNITS)
    assert judged.keep == found.keep
    assert judged.layers_kept == len(found.keep)
    assert task_row(judged, {})["granularity"] == "sublayer"


def test_masks_of_one_size_cost_what_their_kinds_cost(run):
    trials = read_table(run / "search" / PAIR / "trials.csv", ("keep", "num_kept", "cost"))
    one = trials[trials["num_kept"] == 1].drop_duplicates("keep").set_index("keep")["cost"]
    assert set(one.index) == {str(unit) for unit in range(UNITS)}
    assert one["0"] == one["2"] == one["4"] != one["1"] == one["3"] == one["5"]


def test_the_pruned_model_is_smaller_and_transformers_loads_it(run):
    keep = SearchResult.read(run / "search" / PAIR / "search.json").keep
    pruned = load_model(run / "models/pruned" / PAIR)
    assert isinstance(pruned, SublayerModel)
    assert list(pruned.kept) == keep
    counts = Measurement.read(run / "measurements" / f"{PAIR}.json")
    assert counts.parameters_pruned == pruned.parameter_counts()
    assert counts.parameters_pruned["blocks"] < counts.parameters_full["blocks"]
    folder = run / "models/pruned" / PAIR / "backbone"
    _, info = AutoModel.from_pretrained(folder, output_loading_info=True)
    assert not any(info.values())


def test_the_null_panel_has_as_many_sublayers(run):
    folder, pruned = run / "models/controls" / PAIR, load_model(run / "models/pruned" / PAIR)
    sizes = {path.name: load_model(path) for path in folder.iterdir()}
    assert sizes["full_extra"].num_blocks == UNITS
    assert sizes["zero"].num_blocks == 0
    for name in ("random_0", "random_1", "first", "last", "even", "scratch"):
        assert sizes[name].num_blocks == pruned.num_blocks
    assert sizes["scratch"].block_kinds() == pruned.block_kinds()
    assert sizes["scratch"].parameter_counts() == pruned.parameter_counts()


def test_the_report_names_sublayers(run):
    page = (run / "reports/index.html").read_text()
    keep = SearchResult.read(run / "search" / PAIR / "search.json").keep
    named = ", ".join(f"{unit // 2}{'AM'[unit % 2]}" for unit in keep)
    assert f"Sublayers kept: {named} (of 0A to 2M). A: attention, M: MLP of a block." in page
    assert f"<dt>sublayers kept</dt><dd>{len(keep)} of {UNITS}</dd>" in page
    rows = summary_rows(run / "reports/summary.json")
    assert [(row["granularity"], row["keep"]) for row in rows] == [("sublayer", keep)]
    console = plain_console()
    with console.capture() as shown:
        console.print(result_table(rows))
    assert f"{len(keep)} of {UNITS} sublayers" in shown.get()

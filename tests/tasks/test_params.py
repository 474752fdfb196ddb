"""Row 40 of the bad inputs: params.yaml that breaks a rule is refused in one clear line."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tasks.errors import ParamsError
from tasks.params import MAX_PARAMS_BYTES, load_params, validate_params
from tasks.sections.data import Split
from tasks.sections.models import Training
from tests import ROOT

Change = Callable[[dict[str, Any]], Any]


def content() -> dict[str, Any]:
    """The smallest sound parameters."""
    return {
        "run": {"datasets": ["d"], "models": {"m": "none"}},
        "windows": {"context": 64, "horizon": 16},
        "datasets": {"d": {}, "c": {"kind": "collection"}},
        "mixes": {"x": {"members": ["d"]}},
        "scales": {
            "s": {"backbone": "gpt2", "blocks": 4, "width": 8, "heads": 2, "learning_rate": 1e-3}
        },
        "models": {"m": {"family": "tsfm", "scale": "s"}, "n": {"family": "tsfm", "scale": "s"}},
    }


def at(*path: str, value: Any) -> Change:
    """A change that sets the value at a path of keys."""

    def change(params: dict[str, Any]) -> None:
        for key in path[:-1]:
            params = params.setdefault(key, {})
        params[path[-1]] = value

    return change


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "params.yaml"


BOMB = "a: &a [x, x]\n" + "".join(
    f"{chr(98 + i)}: &{chr(98 + i)} [*{chr(97 + i)}, *{chr(97 + i)}]\n" for i in range(20)
)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (BOMB, r"line 2: YAML aliases \(\*name\) are not allowed"),
        ("run: !!python/object/apply:os.system ['true']\n", "line 1: not plain YAML"),
        ("run: !local x\n", "line 1: not plain YAML"),
        ("seed: 0\n" + "# x\n" * (MAX_PARAMS_BYTES // 4), "must be at most 65536 bytes; it has"),
        ("seed: 0\nseed: 1\n", "not plain YAML"),
        ("run: [\n", "line 2: not plain YAML"),
        ("- a\n", "must hold a mapping of sections; got list"),
        ("", "must hold a mapping of sections; got NoneType"),
    ],
)
def test_yaml_that_is_not_plain_is_refused(path: Path, text: str, message: str) -> None:
    path.write_text(text)
    with pytest.raises(ParamsError, match=message) as caught:
        load_params(path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_missing_and_undecodable_files_are_refused(path: Path) -> None:
    with pytest.raises(ParamsError, match="not found; run the command from the project's root"):
        load_params(path)
    path.write_bytes(b"seed: \xe4\n")
    with pytest.raises(ParamsError, match="must be UTF-8; byte 6 is not"):
        load_params(path)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (at("layers", value=1), "params.yaml: there is no key 'layers'; keys: seed, gran"),
        (at("training", "lr", value=1e-3), "training: there is no key 'lr'; keys: "),
        (at("training", "learning_rate", value=float("nan")), "learning_rate: .*; got nan"),
        (at("scales", "s", "learning_rate", value=float("inf")), "learning_rate: .*; got inf"),
        (at("scales", "s", "learning_rate", value=0.0), "greater than 0; got 0.0"),
        (at("scales", "s", "blocks", value=1e9), "scales.s.blocks: .*integer; got 1000000000.0"),
        (at("scales", "s", "blocks", value=10**9), "scales.s.blocks: .*less than or equal to 1024"),
        (at("scales", "s", "blocks", value=0), "scales.s.blocks: .*greater than or equal to 1"),
        (at("windows", "horizon", value=-96), "windows.horizon: .*or equal to 1; got -96"),
        (at("windows", "horizon", value="96"), "windows.horizon: .*valid integer; got '96'"),
        (at("windows", "context", value=True), "windows.context: .*valid integer; got True"),
        (at("search", "shares", value=[0.25, 1.5]), "shares.1: .*less than 1; got 1.5"),
        (at("search", "shares", value=[]), "search.shares: .*at least 1 item"),
        (at("search", "sampler", value="best"), "search.sampler: .*'swap', 'surrogate', 'tpe'"),
        (at("search", "rungs", value=[60, 60]), r"search.rungs must rise, .*; got \[60, 60\]"),
        (at("search", "rungs", value=[]), "search.rungs: .*at least 1 item"),
        (at("search", "heal_scores", value=["gates"]), "heal_scores.0: .*'few_layer', 'block_inf"),
        (at("healing", "options", value=["distil"]),
         "options.0: a healing option is at most one of plain, .*; got 'distil'"),
        (at("healing", "options", value=["plain+distilled"]), "options.0: a healing option is at"),
        (at("healing", "options", value=["iterative+iterative"]), "options.0: a healing option"),
        (at("healing", "options", value=["plain", "plain"]), "healing.options must differ"),
        (at("healing", "options", value=["plain=0.5"]), "teacher's share .*; got 'plain=0.5'"),
        (at("healing", "options", value=["hidden=1.5"]), "share of the loss, after =, is above 0"),
        (at("healing", "options", value=["plain@0"]), "options.0: the learning rate of a healing"),
        (at("healing", "options", value=["plain@8=1"]), "options.0: a healing option is at most"),
        (at("healing", "scratch", value=["plain", "plain"]), "scratch must differ; got .'plain', "),
        (at("healing", "scratch", value=["distilled"]), "a model from scratch is trained by"),
        (at("healing", "options", value=["replay+replay"]), "options.0: a healing option is at"),
        (at("search", value={"shares": [0.5, 1.0]}), r"search\.shares\.1: .* less than 1; got 1"),
        (at("runtime", "search_storage", value="db"), "search_storage: must be journal, env or a"),
        (at("run", "models", value=["m"]), "run.models: Input should be a valid dictionary"),
        (at("run", "models", value={"m": "n"}), r"run\.models\.m must be 'none', what"),
        (at("run", "models", value={"o": "none"}), r"names 'o', which is not in models \(m, n\)"),
        (at("run", "datasets", value=["dd"]), "names 'dd'.*did you mean 'd'"),
        (at("run", "datasets", value=[]), "run.datasets: .*at least 1 item"),
        (at("run", "datasets", value=["../d"]), "run.datasets.0: .*pattern"),
        (at("datasets", "a;b", value={}), r"datasets.a;b.\[key\]: .*pattern"),
        (at("run", "datasets", value=["c"]), "'c', a collection, which has no test range"),
        (at("run", "corpora", value=["d"]), "run.corpora names 'd', which is no collection"),
        (at("run", "mixes", value=["y"]), "run.mixes names 'y'"),
        (at("run", "pretrain", value={"m": "x"}), "names 'x', which is not in run.mixes"),
        (at("models", "m", "patch", value=65), r"patch must be at most .*context \(64\); got 65"),
        (at("models", "m", "stride", value=33), r"stride must be at most patch \(32\); got 33"),
        (at("models", "m", "scale", value="xl"), "names 'xl', which is not in scales"),
        (at("models", "m", "family", value="llm4ts"), "an llm4ts model needs `start`"),
        (at("models", "m", "training", value={"step": 1}), "training has no setting named 'step'"),
        (at("models", "m", "start", value={"kind": "pretrained", "model": "n"}),
         "models.m.start.model names 'n', which is not in run.pretrain"),
        (at("models", "m", "start", value={"kind": "hub", "id": "gpt2", "revision": "main"}),
         "revision: .*pattern"),
        (at("models", "m", "start", value={"kind": "folder"}),
         r": models\.m\.start\.path: Field required"),
        (at("scales", "s", "heads", value=3), "width 8 must be a multiple of heads 3"),
        (at("scales", "s", "kv_heads", value=3), "heads 2 must be a multiple of kv_heads 3"),
        (at("datasets", "d", "split", value={"train": 0.7, "validation": 0.1, "test": 0.3}),
         "three row counts or three shares that sum to 1"),
        (at("datasets", "d", "split", value={"train": 100, "validation": 0.1, "test": 0.2}),
         "three row counts or three shares"),
        (at("evaluation", "alpha", value=0.5), "evaluation.alpha: .*less than 0.5"),
        (at("datasets", "d", "url", value="http://joe:hidden@h/x.csv"),
         r"datasets\.d\.url: a URL must not hold a password, here http://joe:\*\*\*@h/x.csv"),
        (at("studies", value={"s": {"preset": "p", "shares": [0.33, 0.334]}}),
         r"shares \(in whole %\) must differ, .*; got \[33, 33\]"),
        (at("studies", value={"s": {"preset": "p", "seeds": [1, 1]}}), "seeds must differ"),
    ],
)  # fmt: skip
def test_values_and_combinations_that_cannot_be_are_refused(change: Change, message: str) -> None:
    params = content()
    change(params)
    with pytest.raises(ParamsError, match=message) as caught:
        validate_params(params, "params.yaml")
    assert str(caught.value).startswith("params.yaml")
    assert "\n" not in str(caught.value)


def test_a_pretrained_start_must_fit_the_model_it_starts_from() -> None:
    params = content()
    params["run"] |= {"mixes": ["x"], "pretrain": {"n": "x"}}
    params["models"]["m"]["start"] = {"kind": "pretrained", "model": "n"}
    params["run"]["models"] = {"m": "n"}
    validate_params(params, "params.yaml")
    params["models"]["m"]["patch"] = 16
    with pytest.raises(ParamsError, match="patch and stride must be the same in both entries"):
        validate_params(params, "params.yaml")


def test_yaml_1_2_reads_powers_as_numbers(path: Path) -> None:
    path.write_text(
        "run: {datasets: [d], models: {m: none}}\nwindows: {context: 64, horizon: 16}\n"
        "datasets: {d: {}}\nmodels: {m: {family: tsfm, scale: s}}\n"
        "scales: {s: {backbone: gpt2, blocks: 2, width: 8, heads: 2, learning_rate: 1e-3}}\n"
    )
    assert load_params(path).scales["s"].learning_rate == 0.001


def test_a_model_s_training_lies_over_the_section_and_the_scale_gives_the_rate() -> None:
    params = content()
    params["training"] = {"steps": 7, "patience": 3}
    params["models"]["n"]["training"] = {"steps": 9, "learning_rate": 0.5}
    loaded = validate_params(params, "params.yaml")
    assert loaded.training_of("m", scale_rate=0.1) == Training(
        steps=7, patience=3, learning_rate=0.1
    )
    assert loaded.training_of("n", scale_rate=0.1) == Training(
        steps=9, patience=3, learning_rate=0.5
    )


def test_pairs_that_would_be_one_stage_are_refused() -> None:
    params = content()
    datasets, models = params["datasets"], params["models"]
    datasets["d-e"] = dict(datasets["d"])
    models["e-m"] = dict(models["m"])
    params["run"] |= {"datasets": ["d", "d-e"], "models": {"m": "none", "e-m": "none"}}
    with pytest.raises(ParamsError, match="'d' with 'e-m' would be one stage, 'd-e-m'; rename"):
        validate_params(params, "params.yaml")


def test_whole_numbers_are_rows_and_fractions_are_shares() -> None:
    assert Split(train=80, validation=10, test=10).is_rows
    assert not Split().is_rows


@pytest.mark.parametrize(
    "url", ["postgresql://user:hidden@host/d", "postgresql://host/d?user=u&password=hidden"]
)
def test_a_password_in_params_is_refused_and_not_repeated(url: str) -> None:
    params = content() | {"runtime": {"search_storage": url}}
    with pytest.raises(ParamsError, match=r"must not hold a password.*\*\*\*") as caught:
        validate_params(params, "params.yaml")
    assert "hidden" not in str(caught.value)
    validate_params(content() | {"runtime": {"search_storage": "postgresql://u@h/d"}}, "ok")


def test_members_of_a_joined_benchmark_are_read_as_the_datasets_of_their_names() -> None:
    datasets = load_params(ROOT / "params.yaml").datasets
    joined = {name: entry for name, entry in datasets.items() if entry.kind == "joined"}
    assert joined
    for entry in joined.values():
        for name, member in entry.members.items():
            source = {"url": None, "sha256": None}
            assert member.model_dump() == datasets[name].model_dump() | source


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ({"kind": "joined", "members": {"a": {}}}, "needs two members or more"),
        ({"members": {"a": {}, "b": {}}}, "only a dataset of kind joined has members"),
        (
            {"kind": "joined", "members": {"a": {}, "b": {"kind": "collection"}}},
            "member 'b' must be wide or long; got collection",
        ),
        (
            {"kind": "joined", "members": {"a": {}, "b": {}}, "freq": "h"},
            "a joined dataset has no 'freq'; its members have",
        ),
    ],
)
def test_a_joined_dataset_is_its_members(entry: dict[str, Any], message: str) -> None:
    params = content()
    params["datasets"]["j"] = entry
    with pytest.raises(ParamsError, match=message):
        validate_params(params, "params.yaml")

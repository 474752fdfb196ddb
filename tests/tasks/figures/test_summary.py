import pytest

from tasks.errors import ArtifactError
from tasks.figures.summary import headline_key, parse_latency_key
from tests.tasks.figures.made_up_run import made_up_measurement


def test_the_headline_is_the_largest_batch_on_one_thread() -> None:
    assert headline_key(made_up_measurement("demo", "tsfm-pico")) == "threads=1,batch=64"


def test_a_latency_key_of_another_form_is_named() -> None:
    with pytest.raises(ArtifactError, match=r"must read threads=N,batch=N; got 'batch 8'"):
        parse_latency_key("batch 8")


def test_a_measurement_without_a_shared_batch_size_is_named() -> None:
    made = made_up_measurement("demo", "tsfm-pico").model_copy(update={"pruned": {}})
    with pytest.raises(ArtifactError, match=r"measurements/demo/tsfm-pico\.json: .* must share"):
        headline_key(made)


def test_a_measurement_without_a_count_is_named() -> None:
    made = made_up_measurement("demo", "tsfm-pico").model_copy(
        update={"parameters_full": {"all": 3}}
    )
    with pytest.raises(
        ArtifactError, match=r"counted as all, blocks and used; 'blocks' is missing"
    ):
        headline_key(made)

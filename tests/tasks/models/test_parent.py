"""What a checkpoint says about its licence and its hub id."""

import json
from pathlib import Path

import pytest
import torch
from transformers import GPT2Config, GPT2Model

from tasks.models.parent import license_of, parent_of
from tasks.sections.models import FolderStart


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    torch.manual_seed(0)
    config = GPT2Config(n_embd=16, n_layer=3, n_head=2, vocab_size=11, n_positions=8)
    GPT2Model(config).to(torch.bfloat16).save_pretrained(tmp_path / "checkpoint")
    return tmp_path / "checkpoint"


CARDS = {
    "---\nlicense: mit\ntags: [a]\n---\n# A model\n": {"license": "mit"},
    "---\nlicense: other\nlicense_name: its-own\n---\n": {
        "license": "other", "license_name": "its-own",
    },
    "---\nlicense: [mit\n---\n": {},
    "# no front matter\nlicense: mit\n": {},
    "---\n- a\n---\n": {},
}  # fmt: skip


@pytest.mark.parametrize(("card", "expected"), CARDS.items())
def test_the_licence_is_what_the_card_says(
    checkpoint: Path, card: str, expected: dict[str, str]
) -> None:
    (checkpoint / "README.md").write_text(card)
    assert license_of(checkpoint) == expected


def test_the_licence_may_stand_in_the_config(checkpoint: Path) -> None:
    config = json.loads((checkpoint / "config.json").read_text())
    (checkpoint / "config.json").write_text(json.dumps(config | {"license": "cc-by-4.0"}))
    assert license_of(checkpoint) == {"license": "cc-by-4.0"}


def test_the_hub_id_is_that_of_the_entry_or_of_the_cache(checkpoint: Path, tmp_path: Path) -> None:
    start = FolderStart(kind="folder", path=str(checkpoint))
    assert parent_of(start, {}).id is None
    named = start.model_copy(update={"id": "someone/a-model"})
    assert parent_of(named, {"model.safetensors": "0"}).id == "someone/a-model"
    cache = tmp_path / "hub/models--amazon--chronos-bolt-tiny/snapshots"
    cache.mkdir(parents=True)
    checkpoint.rename(cache / ("a" * 40))
    found = parent_of(FolderStart(kind="folder", path=str(cache / ("a" * 40))), {})
    assert (found.id, found.revision) == ("amazon/chronos-bolt-tiny", "a" * 40)

"""The table of published sizes on models that are always there."""

import pytest
import torch

from tasks.errors import ParamsError
from tasks.models.zoo.published import PUBLISHED, Published
from tasks.sections.zoo import ZooFamily
from tests.bench import zoo
from tests.bench.zoo import NATIVE, build_on_meta, main, sizes_of_model, table

KNOWN = [*ZooFamily.__args__, *NATIVE]
BY_NAME = {one.name: one for one in PUBLISHED}
COUNTED = [one for one in PUBLISHED if one.millions]
PATCHTST = BY_NAME["PatchTST/64 (paper)"]


def block_of_patchtst(width: int, mlp: int) -> int:
    attention = 4 * (width * width + width)
    return attention + 2 * 2 * width + (width * mlp + mlp) + (mlp * width + width)


class TestSizes:
    def test_of_patchtst_are_those_counted_by_hand(self):
        sizes = sizes_of_model(PATCHTST)
        block, patches = block_of_patchtst(128, 256), (512 - 16) // 8 + 1
        embedding, positions = 16 * 128 + 128, patches * 128
        head = patches * 128 * 96 + 96
        assert sizes.in_blocks == 3 * block
        assert sizes.total == 3 * block + embedding + positions + head
        assert (sizes.stacks, sizes.kept, sizes.dropped) == ((3,), 1, 2 * block)
        assert (sizes.bytes_saved, sizes.flops_saved) == (2 * block * 4, 4 * block)

    def test_nothing_is_held_in_memory(self):
        model = build_on_meta(BY_NAME["google/timesfm-2.0-500m-pytorch"])
        assert all(parameter.is_meta for parameter in model.parameters())
        assert model.num_blocks == 50

    @pytest.mark.parametrize("published", COUNTED, ids=lambda one: one.name)
    def test_are_those_of_the_model_card(self, published: Published):
        try:
            sizes = sizes_of_model(published)
        except (ParamsError, ModuleNotFoundError) as error:
            pytest.skip(str(error))
        assert sizes.total / 1e6 == pytest.approx(published.millions, rel=0.05)

    def test_of_a_native_family_include_its_words(self):
        sizes = sizes_of_model(BY_NAME["GPT4TS on openai-community/gpt2"])
        assert sizes.in_blocks == pytest.approx(12 * 7.088e6, rel=1e-3)
        assert sizes.total - sizes.in_blocks > 50257 * 768

    def test_an_unknown_backbone_is_refused(self):
        unknown = Published(name="x", family="llm4ts", config={"model_type": "bert"})
        with pytest.raises(ParamsError, match="no backbone 'bert'"):
            build_on_meta(unknown)


class TestTable:
    def test_has_a_line_per_model_and_says_what_to_know(self):
        lines = table([sizes_of_model(PATCHTST)]).splitlines()
        assert lines[2] == (
            "| PatchTST/64 (paper) | 1.2 | 0.4 | 0.8 | 34% | 3 | 1 | 1 MB (22%) | 1 M (67%) |"
        )
        assert lines[-1] == f"- {PATCHTST.name}: {PATCHTST.note}"

    def test_command_prints_one_family(self, capsys):
        main(["patchtst"])
        out = capsys.readouterr().out
        assert "| PatchTST/64 (paper) |" in out
        assert "skipped" not in out

    def test_command_skips_what_is_not_installed_with_a_note(self, capsys, monkeypatch):
        def missing(_published: Published) -> None:
            raise ParamsError("family 'chronos2' needs the package 'chronos'")

        monkeypatch.setattr(zoo, "sizes_of_model", missing)
        main(["chronos2"])
        assert "- skipped amazon/chronos-2: family 'chronos2' needs" in capsys.readouterr().out

    def test_other_missing_modules_are_no_reason_to_skip(self, monkeypatch):
        def broken(_published: Published) -> None:
            raise ModuleNotFoundError("No module named 'tasks.gone'", name="tasks.gone")

        monkeypatch.setattr(zoo, "sizes_of_model", broken)
        with pytest.raises(ModuleNotFoundError):
            main(["patchtst"])


class TestPublished:
    def test_every_family_has_a_published_size(self):
        families = {one.family for one in PUBLISHED}
        assert families <= set(KNOWN)
        assert set(KNOWN) - families == {"custom", "tsfm"}  # these have no published checkpoint

    def test_names_are_told_once(self):
        assert len(BY_NAME) == len(PUBLISHED)

    def test_building_leaves_the_config_as_it_is(self):
        before = str(PATCHTST.config)
        build_on_meta(PATCHTST)
        assert str(PATCHTST.config) == before
        assert torch.empty(1).device.type == "cpu"

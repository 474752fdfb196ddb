"""What every published family must keep; a test file per family gives the tiny model.

Random weights must be large enough that a wrong block shows (`initializer_factor` about 0.3 for
T5), or these tests would pass a broken family.
"""

from abc import ABC, abstractmethod
from itertools import pairwise
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from tasks.artifacts.files import read_json
from tasks.models.base import ForecastModel
from tasks.models.interface import LossSpec, task_loss
from tasks.models.locate import family_of, stacks_of
from tasks.models.registry import load_model
from tasks.models.stacks import Stack
from tasks.models.streaming import prune_checkpoint, prune_model
from tasks.models.upstream import checkpoint_config
from tasks.models.zoo.family import ZooModel

CONTEXT, HORIZON = 64, 16


def windows(count: int = 4, length: int = CONTEXT + HORIZON, seed: int = 0) -> Tensor:
    """Noisy waves on different scales, with a gap in the first context and the second target."""
    generator = torch.Generator().manual_seed(seed)
    time = torch.arange(length)[None] + 10 * torch.arange(count)[:, None]
    waves = torch.sin(time / 3.0) + 0.1 * torch.randn(count, length, generator=generator)
    waves = 5 + waves * torch.tensor([1.0, 3.0, 0.5, 2.0])[torch.arange(count) % 4, None]
    if length >= CONTEXT:
        waves[0, 10:20] = float("nan")
    if length >= CONTEXT + HORIZON:
        waves[1, CONTEXT + 2 : CONTEXT + 5] = float("nan")
    return waves


def homogeneous_lists(module: nn.Module) -> list[tuple[str, nn.ModuleList]]:
    """All ModuleLists of two or more modules of one class and one shape, by dotted path."""
    found = []
    for name, child in module.named_modules():
        if isinstance(child, nn.ModuleList) and len(child) > 1:
            shapes = [sum(p.numel() for p in one.parameters()) for one in child]
            alike = len({type(one) for one in child}) == 1
            if alike and max(shapes) > 0 and min(shapes) >= 0.8 * max(shapes):
                found.append((name, child))
    return found


class Contract(ABC):
    """The laws. A family's class says how to build it and how its own library reads it."""

    longest = 5  # horizon of a config that the family forecasts, times its own

    @abstractmethod
    def build(self) -> ZooModel:
        """A tiny model of several blocks with CONTEXT and HORIZON, random weights, eval mode."""

    @abstractmethod
    def upstream_forecast(self, folder: Path, context: Tensor, horizon: int) -> Tensor:
        """What the library's own loader and forecast make of `backbone/`, [B, horizon].

        It has to fail on missing, unexpected or newly initialised weights.
        """

    @pytest.fixture(scope="class")
    @classmethod
    def model(cls) -> ZooModel:
        return cls().build()

    @pytest.fixture
    def context(self) -> Tensor:
        return windows()[:, :CONTEXT]

    def mean(self, model: ForecastModel, context: Tensor, horizon: int = HORIZON) -> Tensor:
        torch.manual_seed(0)  # for families that sample
        with torch.no_grad():
            return model.forecast(context, horizon).mean

    def keeps(self, model: ZooModel) -> list[list[int]]:
        """Masks to try: each stack without its first, a middle, its last block; every other."""
        everything = list(range(model.num_blocks))
        ends = [0]
        for size in model.stack_sizes:
            ends.append(ends[-1] + size)
        dropped = {
            place for a, b in pairwise(ends) if b - a > 1 for place in (a, (a + b) // 2, b - 1)
        }
        return [[b for b in everything if b != place] for place in sorted(dropped)] + [
            everything[1::2]
        ]

    def test_the_stacks_are_the_largest_lists_of_alike_blocks(self, model):
        found = sorted(
            homogeneous_lists(model.backbone),
            key=lambda item: -sum(p.numel() for p in item[1].parameters()),
        )
        largest = {name for name, _ in found[: len(model.stacks)]}
        assert largest == {stack.path for stack in model.stacks}

    def test_every_block_matters(self, model, context):
        whole = self.mean(model, context)
        for block in range(model.num_blocks):
            rest = [other for other in range(model.num_blocks) if other != block]
            with model.only(rest):
                assert not torch.equal(self.mean(model, context), whole), f"block {block}"

    def test_skipping_equals_removal(self, model, context):
        for keep in self.keeps(model):
            smaller = model.with_blocks(keep)
            expected = self.mean(smaller, context)
            with model.only(keep):
                assert torch.equal(self.mean(model, context), expected)
            dropped = [block for block in range(model.num_blocks) if block not in keep]
            with model.skipping(dropped):
                assert torch.equal(self.mean(model, context), expected)
            assert smaller.kept == tuple(keep)
            assert smaller.num_blocks == len(keep)

    def test_no_block_at_all_still_forecasts(self, model, context):
        empty = model.with_blocks([])
        assert torch.isfinite(self.mean(empty, context)).all()
        assert empty.num_blocks == 0

    def test_saved_and_pruned_again_it_is_the_same(self, model, context, tmp_path):
        smaller = model.with_blocks(range(1, model.num_blocks))
        smaller.save(tmp_path / "one")
        again = load_model(tmp_path / "one")
        torch.testing.assert_close(self.mean(again, context), self.mean(smaller, context))
        twice = again.with_blocks(range(again.num_blocks - 1))
        once = model.with_blocks(range(1, model.num_blocks - 1))
        torch.testing.assert_close(self.mean(twice, context), self.mean(once, context))
        assert twice.kept == once.kept
        twice.save(tmp_path / "two")
        assert load_model(tmp_path / "two").kept == once.kept

    def test_pruned_by_streaming_its_checkpoint_is_that_of_the_smaller_model(self, model, tmp_path):
        model.save(tmp_path / "whole")
        folder = tmp_path / "whole/backbone"
        stacks = self.stacks_of_checkpoint(model, folder)
        for number, keep in enumerate(self.keeps(model)):
            out, expected = tmp_path / f"out{number}", tmp_path / f"expected{number}"
            prune_checkpoint(folder, out, stacks, keep)
            model.with_blocks(keep).save(expected)
            for name in ("model.safetensors", "config.json"):
                found, right = (place / name for place in (out, expected / "backbone"))
                if name == "config.json":
                    assert read_json(found) == read_json(right)
                else:
                    assert found.read_bytes() == right.read_bytes()

    def test_a_model_folder_pruned_by_streaming_is_that_of_the_smaller_model(self, model, tmp_path):
        model.save(tmp_path / "whole")
        for number, keep in enumerate(self.keeps(model)):
            out, expected = tmp_path / f"out{number}", tmp_path / f"expected{number}"
            prune_model(tmp_path / "whole", out, keep)
            model.with_blocks(keep).save(expected)
            right = {path.relative_to(expected) for path in expected.rglob("*.*")}
            assert {path.relative_to(out) for path in out.rglob("*.*")} == right
            for name in right:
                if name.suffix == ".json":
                    assert read_json(out / name) == read_json(expected / name)
                else:
                    assert (out / name).read_bytes() == (expected / name).read_bytes()

    def stacks_of_checkpoint(self, model: ZooModel, folder: Path) -> tuple[Stack, ...]:
        """The stacks that `fewlayers prune` finds without the model."""
        assert family_of(checkpoint_config(folder), folder) == model.config.family
        return stacks_of(model.config.family)

    def test_its_own_library_reads_it_and_forecasts_the_same(self, model, context, tmp_path):
        for keep in (list(range(model.num_blocks)), list(range(1, model.num_blocks))):
            smaller = model.with_blocks(keep)
            smaller.save(tmp_path / str(len(keep)))
            torch.manual_seed(0)
            found = self.upstream_forecast(
                tmp_path / str(len(keep)) / "backbone", context[1:], HORIZON
            )
            torch.testing.assert_close(found, self.mean(smaller, context[1:]), rtol=1e-4, atol=1e-4)

    @pytest.mark.parametrize("kind", ["mse", "native"])
    def test_four_training_steps_lower_the_loss(self, kind):
        model = self.build().train()
        batch, spec = windows(8, seed=1), LossSpec(kind=kind)
        if kind == "native" and model.eval().outputs(batch).loss is None:
            pytest.skip("no loss of its own")
        optimizer = torch.optim.Adam(model.trainable(), lr=1e-3)
        losses = []
        for _ in range(5):
            torch.manual_seed(0)
            loss = task_loss(model.outputs(batch), spec)
            losses.append(float(loss.detach()))
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        assert losses[-1] < losses[0], losses
        assert all(
            parameter.grad is None or torch.isfinite(parameter.grad).all()
            for parameter in model.parameters()
        )

    def test_forecasts_any_horizon_and_any_length_of_context(self, model):
        for length in (CONTEXT, CONTEXT // 2 + 3, 2 * CONTEXT + 5):
            for horizon in (1, HORIZON, 5 * HORIZON + 3):
                made = windows(3, length)
                torch.manual_seed(0)
                with torch.no_grad():
                    forecast = model.forecast(made, horizon)
                assert forecast.mean.shape == (3, horizon)
                assert torch.isfinite(forecast.mean).all()
                for values in (forecast.quantiles or {}).values():
                    assert values.shape == (3, horizon)
                if forecast.quantiles:
                    assert {0.1, 0.5, 0.9} <= set(forecast.quantiles)

    def test_a_short_forecast_begins_a_long_one(self, model, context):
        short, long = self.mean(model, context, HORIZON // 2), self.mean(model, context, HORIZON)
        torch.testing.assert_close(short, long[:, : HORIZON // 2])

    def test_missing_values_are_not_values(self, model, context):
        holed, filled = context.clone(), context.clone()
        holed[2, 30:38], filled[2, 30:38] = float("nan"), 0.0
        with_gap = self.mean(model, holed)
        assert torch.isfinite(with_gap).all()
        assert not torch.equal(with_gap[2], self.mean(model, filled)[2])

    def test_a_context_of_gaps_or_of_one_value_gives_finite_forecasts(self, model):
        context = torch.full((2, CONTEXT), float("nan"))
        context[1] = 3.0
        assert torch.isfinite(self.mean(model, context)).all()

    def test_outputs_are_those_of_a_window(self, model):
        made = windows()
        torch.manual_seed(0)
        outputs = model.outputs(made)
        assert outputs.prediction.shape == outputs.target.shape == outputs.observed.shape
        target = made[:, CONTEXT:]
        seen = torch.isfinite(target)
        assert int(outputs.observed[:, -1].sum()) <= int(seen.sum())
        assert torch.isfinite(outputs.prediction).all()

    def test_gradients_reach_every_block_through_the_forecast(self, model, context):
        for parameter in model.parameters():
            parameter.grad = None
        torch.manual_seed(0)
        model.forecast(context[1:], HORIZON).mean.square().sum().backward()
        for number, block in enumerate(model.all_blocks()):
            grads = [p.grad for p in block.parameters() if p.grad is not None]
            assert sum(float(grad.abs().sum()) for grad in grads) > 0, f"block {number}"
        for parameter in model.parameters():
            parameter.grad = None

    def test_the_trace_has_a_state_before_and_after_every_block(self, model, context):
        torch.manual_seed(0)
        traces = model.trace(context)
        assert [len(one.hidden) for one in traces] == [size + 1 for size in model.stack_sizes]
        for one in traces:
            assert one.hidden.ndim == 4  # states, batch, tokens, width
            assert one.hidden.shape[1] == len(context)
            assert not torch.equal(one.hidden[0], one.hidden[-1])

    def test_of_a_forecast_in_several_passes_the_first_is_traced(self, model, context):
        before = model.config
        try:
            traces = []
            for horizon in (HORIZON, self.longest * HORIZON):
                model.config = before.model_copy(update={"horizon": horizon})
                torch.manual_seed(0)
                traces.append(model.trace(context))
        finally:
            model.config = before
        for near, far in zip(*traces, strict=True):
            assert near.hidden.shape[:2] == far.hidden.shape[:2]
            if near.hidden.shape == far.hidden.shape:
                torch.testing.assert_close(near.hidden[0], far.hidden[0])

    def test_parameter_counts_add_up(self, model):
        counts = model.parameter_counts()
        smaller = model.with_blocks(range(model.num_blocks - 1)).parameter_counts()
        assert 0 < counts["blocks"] < counts["all"]
        assert counts["all"] - smaller["all"] == counts["blocks"] - smaller["blocks"]

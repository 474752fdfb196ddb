"""The sections `controls`, `stability`, `evaluation` and `measure`."""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from tasks.sections.base import Count, NonNegative, Section, Steps


class Controls(Section):
    """The null panel: what the pruned model must beat."""

    random_masks: Annotated[int, Field(ge=1, le=1000)] = 5


class Stability(Section):
    """Other windows, periods and horizons that the blocks are chosen on once more, unhealed."""

    draws: Annotated[int, Field(ge=0, le=100)] = 3  # of validation windows
    windows: Count = 128  # of each setting
    halves: bool = True  # of the training period
    horizons: list[Count] = Field(default=[24, 96, 336])  # those shorter than windows.horizon
    exhaustive_limit: Steps = 250  # more masks than these: greedy removal


class Evaluation(Section):
    """The verdict on the test range."""

    stride: Count = 1  # rows between test windows
    margin: NonNegative = 0.02  # of the full model's error
    bootstrap_samples: Annotated[int, Field(ge=100, le=100_000)] = 2000
    alpha: Annotated[float, Field(gt=0, lt=0.5)] = 0.05
    batch_size: Count = 64
    sample_forecasts: Annotated[int, Field(ge=0, le=50)] = 4


RuntimeName = Literal["eager", "compiled", "exported", "onnx"]


class Measure(Section):
    """Latency and memory of the full and the pruned model."""

    batch_sizes: list[Count] = Field(default=[1, 8, 64], min_length=1)
    repeats: Annotated[int, Field(ge=3, le=10_000)] = 20
    warmup: Steps = 3
    # also latency in these, eager included for comparison; needs the extra onnx, a C++ compiler
    runtimes: list[RuntimeName] = Field(default=[])

    @model_validator(mode="after")
    def _runtimes_differ(self) -> Self:
        if len(set(self.runtimes)) < len(self.runtimes):
            raise ValueError(f"runtimes must differ; got {self.runtimes}")
        return self

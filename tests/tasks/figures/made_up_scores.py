"""The scores of a made-up run, with all that the report draws of them."""

import numpy as np

from tasks.artifacts.scoring import (
    CalibrationSensitivity,
    CalibrationSetting,
    ErrorParts,
    OptionChange,
    RemovalBreakdown,
    Score,
    Scores,
)

BLOCKS, HORIZON = 12, 24


def made_up_scores(dataset: str, model: str, chance: np.random.Generator) -> Scores:
    """Three scores that fall with depth, and similarities that fall with distance."""
    depth = np.arange(BLOCKS)
    falling = 0.4 * np.exp(-depth / 2) + 0.02 * chance.random(BLOCKS)
    scores = {
        "few_layer": falling / falling.max(),
        "block_influence": falling,
        "removal_loss": falling * 0.2 - 0.004 * chance.random(BLOCKS),
    }
    states = np.arange(BLOCKS + 1)
    distance = np.abs(states[:, None] - states[None, :])
    return Scores(
        dataset=dataset, model=model, num_blocks=BLOCKS, calibration_windows=256,
        calibration_sha256="0" * 64, calibration_source="training range",
        scores={
            name: Score(values=[float(value) for value in values], parameters={"alpha": 0.5})
            for name, values in scores.items()
        },
        cosine=(1 - 0.05 * distance).tolist(), cka=(1 / (1 + 0.1 * distance)).tolist(),
        removal=made_up_removal(falling), sensitivity=made_up_sensitivity(list(scores)),
        few_layer_changes=[
            OptionChange(
                option="alpha", value=alpha, is_own=alpha == 0.5, agreement=tau, count=4,
                keep=[0, 1, 2, 3],
            )
            for alpha, tau in ((0.25, 0.91), (0.5, 1.0), (1.0, None))
        ],
    )  # fmt: skip


def made_up_removal(falling: np.ndarray) -> RemovalBreakdown:
    """The first block hurts most; the last helps a little; one series has no points."""
    rise = (falling - 0.01).tolist()
    names = [f"channel {one} with a long name" for one in range(30)]
    series = ErrorParts(
        names=names, full=[None, *([0.4] * 29)], rise=[[None, *([one] * 29)] for one in rise]
    )
    steps = ErrorParts(
        names=[str(step) for step in range(1, HORIZON + 1)], full=[0.3] * HORIZON,
        rise=[[one * (step + 1) / HORIZON for step in range(HORIZON)] for one in rise],
    )  # fmt: skip
    kinds = ErrorParts(
        names=["calm", "volatile"], full=[0.2, 0.6], rise=[[one, 2 * one] for one in rise]
    )
    return RemovalBreakdown(steps=steps, series=series, volatility=kinds)


def made_up_sensitivity(names: list[str]) -> CalibrationSensitivity:
    """The run's own 256 windows, and 64 and 1,024."""
    settings = [CalibrationSetting(draw="spaced", windows=count) for count in (256, 64, 1024)]
    table: list[list[float | None]] = [[1.0, 0.71, 0.93], [0.71, 1.0, 0.64], [0.93, 0.64, None]]
    return CalibrationSensitivity(settings=settings, agreement=dict.fromkeys(names, table))

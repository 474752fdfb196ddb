"""What a verdict rests on: a full model trained out, series that stay, a range to choose by."""

from dataclasses import dataclass

from tasks.artifacts.data import Profile
from tasks.artifacts.training import TrainingSummary
from tasks.data.spans import FEWEST_SPANS
from tasks.training.convergence import FALLING, was_improving

STATIONARY_P_VALUE = 0.05


@dataclass(frozen=True, kw_only=True)
class Fit:
    """Was the full model of the verdict still improving when its training ended?

    Of extra tuning, whose error always falls at the end because its rate begins high, the whole of
    its gain tells.
    """

    still_improving: bool
    late_change: float | None  # of its validation error: by extra tuning, or at its training's end
    text: str


@dataclass(frozen=True, kw_only=True)
class Stationarity:
    """How many of the tested series look stationary in the training range."""

    stationary: int
    tested: int

    @property
    def share(self) -> float | None:
        """Of the tested series; None where none could be tested."""
        return self.stationary / self.tested if self.tested else None


def fit_of(full: TrainingSummary, extra: TrainingSummary, *, extra_is_better: bool) -> Fit:
    """Whether the verdict compares with an under-fitted model, and why in a few words.

    Args:
        full: the training of the full model.
        extra: its extra tuning, as long as the pruned model's.
        extra_is_better: the extra tuning lowered the validation error, so the verdict compares
            with its result; where it did not, the full model was trained out.
    """
    if extra_is_better:
        gain = extra.valid_mse / full.valid_mse - 1
        text = (
            f"{extra.steps_run} steps of extra tuning changed the full model's validation error by "
            f"{gain:+.1%}"
        )
        if gain <= FALLING:
            text += ", and more may lower it further: the verdict may compare with an under-fitted "
            text += "model"
        return Fit(still_improving=gain <= FALLING, late_change=gain, text=text)
    change = full.late_change
    if extra.steps_run:
        text = f"{extra.steps_run} more steps did not lower the full model's validation error"
        return Fit(still_improving=False, late_change=change, text=text)
    fell = "" if change is None else f", its validation error changing by {change:+.1%} at the end"
    if was_improving(full):
        text = (
            f"the full model was still improving when its training ended{fell}: the verdict "
            "compares with an under-fitted model"
        )
        return Fit(still_improving=True, late_change=change, text=text)
    text = f"the full model was no longer improving when its training ended{fell}"
    return Fit(still_improving=False, late_change=change, text=text)


def stationarity_of(profile: Profile) -> Stationarity:
    """Counts the augmented Dickey-Fuller tests of the profile with p below 0.05."""
    tested = [one.adf_p_value for one in profile.channels if one.adf_p_value is not None]
    below = sum(p_value < STATIONARY_P_VALUE for p_value in tested)
    return Stationarity(stationary=below, tested=len(tested))


def short_range_of(profile: Profile, horizon: int) -> str | None:
    """That the validation range is too short to choose by; None where it is long enough.

    Only of one table's channels: many short series tell masks apart as well as a long range does.

    Args:
        profile: of the dataset.
        horizon: rows of a forecast.
    """
    spans = profile.valid_rows // horizon
    if profile.kind != "wide" or spans >= FEWEST_SPANS:
        return None
    return (
        f"the validation range ({profile.valid_rows} rows) holds {spans} "
        f"forecast{'' if spans == 1 else 's'} of {horizon} rows side by side, too few to tell one "
        "mask from another: before healing, masks were measured on training windows as well, and "
        "none could stay unhealed, but what was chosen may not hold later"
    )


def few_training_rows_of(
    profile: Profile, share: float, *, context: int, horizon: int
) -> str | None:
    """That the rows trained and healed on are fewer than one window; None where they are not.

    Only of one table's channels: many short series make many windows.

    Args:
        profile: of the dataset.
        share: of the training rows, the last ones (`training.train_share`).
        context: rows a model sees.
        horizon: rows of a forecast.
    """
    rows = round(profile.train_rows * share)
    if profile.kind != "wide" or rows >= context + horizon:
        return None
    return (
        f"the training rows used ({rows}) are fewer than one window of {context} + {horizon}: "
        "contexts began up to half a context earlier, and those rows counted as missing; what is "
        "trained or healed on so few may be as good on validation and useless later"
    )

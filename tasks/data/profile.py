"""The profile of a dataset: what is in it, what was repaired, how stationary each channel is."""

import warnings
from collections.abc import Sequence

import numpy as np
from jaxtyping import Float64

from tasks.artifacts.data import ChannelProfile, Profile
from tasks.data.grid import SourceSeries
from tasks.data.scaling import Scaler
from tasks.data.sources import Source
from tasks.data.splits import Bounds

ADF_ROWS = 2000
ADF_CHANNELS = 1000
MIN_ADF_ROWS = 30


def adf_p_value(values: Float64[np.ndarray, " rows"]) -> float | None:
    """The p-value of the augmented Dickey-Fuller test on the last 2,000 rows; small = stationary.

    Dickey and Fuller (1979) with a constant and floor((n - 1)^(1/3)) lags, the rate of Said and
    Dickey (1984). Missing values are left out. None: too short, constant, or degenerate.
    """
    recent = values[-ADF_ROWS:]
    observed = recent[~np.isnan(recent)]
    if len(observed) < MIN_ADF_ROWS or observed.min() == observed.max():
        return None
    from statsmodels.tsa.stattools import adfuller  # a second of start-up, only when needed

    lags = int((len(observed) - 1) ** (1 / 3))
    try:
        with warnings.catch_warnings(), np.errstate(all="ignore"):
            warnings.simplefilter("ignore")
            result = adfuller(observed, maxlag=lags, autolag=None, result_object=False)
    except (ValueError, np.linalg.LinAlgError):
        return None
    p_value = float(result[1])
    return p_value if np.isfinite(p_value) else None


def channel_profile(
    one: SourceSeries, train: Float64[np.ndarray, " rows"], scaler: Scaler, *, with_adf: bool
) -> ChannelProfile:
    """The profile of one channel; mean, deviation and the test are of its training range."""
    return ChannelProfile(
        name=one.name,
        rows=len(one.values),
        missing=int(np.isnan(one.values).sum()),
        is_constant=scaler.is_constant,
        mean=scaler.mean,
        std=scaler.std,
        adf_p_value=adf_p_value(train) if with_adf else None,
    )


def dataset_profile(
    name: str, source: Source, bounds: Bounds, channels: Sequence[ChannelProfile]
) -> Profile:
    """The profile of a whole dataset; of a collection, `channels` is empty."""
    findings = source.findings
    points = sum(len(one.values) for one in source.series)
    missing = sum(int(np.isnan(one.values).sum()) for one in source.series)
    return Profile(
        dataset=name,
        kind=source.kind,
        files=source.files,
        rows=source.rows,
        channels=list(channels),
        num_series=len(source.series),
        num_points=points,
        freq=source.freq,
        first=source.first,
        last=source.last,
        missing_share=missing / points,
        gaps=findings.gaps,
        duplicates_dropped=findings.duplicates,
        fixed=findings.fixed,
        warnings=findings.warnings,
        dropped_series=findings.dropped,
        season=source.season,
        train_rows=bounds.train,
        valid_rows=bounds.valid - bounds.train,
        test_rows=bounds.end - bounds.valid,
        synthetic=source.is_synthetic,
    )

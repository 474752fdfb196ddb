"""Standard scaling by the training range alone."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float32, Float64


@dataclass(frozen=True)
class Scaler:
    """Mean and population standard deviation; of a constant series the deviation is 1."""

    mean: float
    std: float
    is_constant: bool

    def scale(self, values: Float64[np.ndarray, " rows"]) -> Float32[np.ndarray, " rows"]:
        """(values - mean) / std; NaN stays."""
        return ((values - self.mean) / self.std).astype(np.float32)

    def unscale(self, values: Float32[np.ndarray, " rows"]) -> Float64[np.ndarray, " rows"]:
        """Scaled values on their own scale again."""
        return values.astype(np.float64) * self.std + self.mean


def fit_scaler(values: Float64[np.ndarray, " rows"]) -> Scaler:
    """The scaler of the observed values, of which there must be at least one."""
    observed = values[~np.isnan(values)]
    mean = float(observed.mean())
    std = float(observed.std())
    if observed.min() == observed.max() or not std > 0:
        return Scaler(float(observed[0]), 1.0, is_constant=True)
    return Scaler(mean, std, is_constant=False)

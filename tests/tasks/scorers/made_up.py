"""Activations with chosen statistics, without a model."""

import numpy as np

from tasks.scorers.activations import Activations


def made_up_activations(
    *,
    cosine: object = None,
    angle: object = None,
    last_angle: object = None,
    diversity: object = None,
    cka: object = None,
) -> Activations:
    """One window; what is not given is zero. `cka` takes the place of the computed matrix."""
    given = [array for array in (cosine, angle, last_angle, cka) if array is not None]
    num_states = len(np.asarray(given[0]))
    square = np.zeros((num_states, num_states))
    arrays = [
        square if array is None else np.asarray(array) for array in (cosine, angle, last_angle)
    ]
    spread = np.zeros(num_states - 1) if diversity is None else np.asarray(diversity)
    means = np.zeros((1, num_states, 2), dtype=np.float32)
    found = Activations(*(array[None].astype(float) for array in (*arrays, spread)), means)
    if cka is not None:
        vars(found)["cka"] = np.asarray(cka)
    return found


def symmetric(upper: list[list[float]], diagonal: float) -> np.ndarray:
    """A symmetric matrix from the rows right of its diagonal."""
    size = len(upper) + 1
    matrix = np.full((size, size), diagonal)
    for row, values in enumerate(upper):
        matrix[row, row + 1 :] = values
        matrix[row + 1 :, row] = values
    return matrix

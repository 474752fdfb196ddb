"""What the stage `search` writes."""

from tasks.artifacts.files import Artifact
from tasks.sections.search import Granularity


class Candidate(Artifact):
    """One mask that climbed the rungs."""

    keep: list[int]
    source: str  # the score or sampler that proposed it first
    valid_mse_before: float
    valid_mse_healed: list[float]  # after each rung that it reached
    valid_mse_fully_healed: float | None = None  # the best of each size, where there are several
    cost: float


class SearchResult(Artifact):
    """`search/DATASET/MODEL/search.json`; beside `trials.csv` and `front.csv`."""

    dataset: str
    model: str
    granularity: Granularity = "block"  # sublayer: `blocks` and `keep` count and number sublayers
    num_blocks: int
    sizes: list[int]
    exhaustive: bool
    num_masks: int  # different masks measured
    num_trials: int
    full_valid_mse: float  # of the better of the full model and full_extra
    full_unhealed_mse: float  # of the full model as trained, on the windows of the search
    margin: float
    candidates: list[Candidate]
    rungs: list[int]  # healing steps of each
    rank_correlations: list[float | None]  # Kendall's tau of each rung with the ranking before it
    rank_correlation_by_size: dict[str, float | None]  # unhealed with the first rung
    keep: list[int]  # the choice, original indices of the full model
    within_margin: bool | None  # None: one size was wanted, so its error was not needed
    reason: str

"""How the report names what is kept or dropped: blocks, or attention and MLP of every block."""

from collections.abc import Sequence
from dataclasses import dataclass

from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, MaxNLocator

from tasks.figures.numbers import ABSENT
from tasks.sections.search import Granularity

PARTS = "AM"  # attention and MLP, in the order of the residual stream


@dataclass(frozen=True)
class Units:
    """Blocks by their number; sublayers as 3A (attention of block 3) and 3M (its MLP)."""

    granularity: Granularity

    @property
    def noun(self) -> str:
        """What one of them is called."""
        return str(self.granularity)

    @property
    def legend(self) -> str:
        """What the letters mean, as a sentence with a space before it; empty for blocks."""
        return "" if self.granularity == "block" else " A: attention, M: MLP of a block."

    def name(self, number: int) -> str:
        """The name of one of them."""
        if self.granularity == "block":
            return str(number)
        block, part = divmod(number, len(PARTS))
        return f"{block}{PARTS[part]}"

    def names(self, numbers: Sequence[int] | None) -> str:
        """The names of several, for example "0, 3, 5"."""
        if numbers is None:
            return ABSENT
        return ", ".join(map(self.name, numbers)) or "none"

    def told(self, text: str) -> str:
        """A text about blocks, which speaks of sublayers where these are meant."""
        return text.replace("block", self.noun)

    def set_ticks(self, axes: Axes, *, label: str, most: int) -> None:
        """Names along the x axis, at most about `most`, and its label, which is about blocks."""
        axes.set_xlabel(self.told(label))
        axes.xaxis.set_major_locator(MaxNLocator(most, integer=True))
        if self.granularity == "sublayer":
            axes.xaxis.set_major_formatter(FuncFormatter(lambda place, _: self._tick(place)))

    def _tick(self, place: float) -> str:
        return self.name(round(place)) if place >= 0 else ""

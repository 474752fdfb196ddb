"""The families by the name that params.yaml gives them; each is imported when it is asked for."""

from tasks.errors import ParamsError
from tasks.models.base import ForecastModel
from tasks.models.zoo.family import ZooModel


def family_class(family: str) -> type[ForecastModel]:
    """The class of a family, native or published.

    Raises:
        ParamsError: the package that the family needs is not installed, or there is no such family.
    """
    if family in {"tsfm", "llm4ts"}:
        from tasks.models.native import NativeModel

        return NativeModel
    return zoo_class(family)


def zoo_class(family: str) -> type[ZooModel]:
    """The class of a published family. Raises ParamsError as `family_class`."""
    try:
        return _imported(family)
    except ModuleNotFoundError as error:
        package = (error.name or "").split(".")[0]
        if package in {"tasks", "transformers", "torch"}:
            raise
        raise ParamsError(
            f"family {family!r} needs the package {package!r}, which is not installed; "
            "pip install 'fewlayers[chronos]'"
        ) from error


def _imported(family: str) -> type[ZooModel]:
    match family:
        case "chronos_bolt":
            from tasks.models.zoo.chronos_bolt import ChronosBolt

            return ChronosBolt
        case "chronos2":
            from tasks.models.zoo.chronos2 import Chronos2

            return Chronos2
        case "chronos_t5":
            from tasks.models.zoo.chronos_t5 import ChronosT5

            return ChronosT5
        case "timesfm2":
            from tasks.models.zoo.timesfm2 import TimesFm2

            return TimesFm2
        case "timesfm2_5":
            from tasks.models.zoo.timesfm2_5 import TimesFm25

            return TimesFm25
        case "patchtst":
            from tasks.models.zoo.patchtst import PatchTst

            return PatchTst
        case "sundial":
            from tasks.models.zoo.sundial import Sundial

            return Sundial
        case "timer":
            from tasks.models.zoo.timer import Timer

            return Timer
        case "time_moe":
            from tasks.models.zoo.time_moe import TimeMoe

            return TimeMoe
        case "moirai":
            from tasks.models.zoo.moirai import Moirai

            return Moirai
        case "moirai2":
            from tasks.models.zoo.moirai2 import Moirai2

            return Moirai2
        case "moment":
            from tasks.models.zoo.moment import Moment

            return Moment
        case "timellm":
            from tasks.models.zoo.timellm import TimeLlm

            return TimeLlm
        case "custom":
            from tasks.models.zoo.custom import Custom

            return Custom
    raise ParamsError(f"there is no model family {family!r}")

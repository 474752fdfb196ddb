"""`reports/index.html`: one file that needs nothing beside it."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup
from matplotlib.figure import Figure

from tasks.figures import (
    cost,
    curves,
    errors,
    layers,
    numbers,
    removal,
    sensitivity,
    stability,
    tables,
    verdicts,
    words,
)
from tasks.figures.inputs import Pair
from tasks.figures.style import to_svg
from tasks.figures.summary import SummaryRow, fit_of_pair
from tasks.figures.verdicts import CorrectedVerdict
from tasks.params import Params, yaml_text

TEMPLATE = Path(__file__).with_name("report.html.j2")
PACKAGES = ("fewlayers", "torch", "transformers", "optuna", "numpy", "pandas", "matplotlib")


@dataclass(frozen=True, kw_only=True)
class Drawing:
    """A figure as inline SVG with the sentence below it; `width` is a CSS class."""

    svg: Markup
    caption: str
    width: str = "half"


@dataclass(frozen=True, kw_only=True)
class Section:
    """What the page says about one dataset and model."""

    anchor: str
    pair: Pair
    row: SummaryRow
    corrected: CorrectedVerdict
    reason: str
    fit: str
    notes: list[words.Note]
    rank: str
    stability: list[str]
    settings: tables.Table
    drawings: dict[str, list[Drawing]]
    calibration: tables.Table | None
    options: tables.Table
    null_panel: tables.Table
    latency: tables.Table
    runtimes: tables.Table | None
    sizes: tables.Table
    times: tables.Table


def render_page(
    *,
    params: Params,
    pairs: Sequence[Pair],
    corrected: Sequence[CorrectedVerdict],
    rows: Sequence[SummaryRow],
    scale: Sequence[curves.SizedError],
) -> str:
    """The page as HTML. `pairs`, `corrected` and `rows` go together, one entry per pair."""
    sections = [
        _section(index, pair, verdict, row, params)
        for index, (pair, verdict, row) in enumerate(zip(pairs, corrected, rows, strict=True))
    ]
    profiles = list({pair.dataset: pair.profile for pair in pairs}.values())
    has_scale = len({point.model for point in scale}) > 1
    environment = Environment(
        loader=FileSystemLoader(TEMPLATE.parent),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "error": numbers.format_error,
        "percent": numbers.format_percent,
        "significant": numbers.format_significant,
        "count": numbers.format_count,
        "p_value": numbers.format_p_value,
    }
    return environment.get_template(TEMPLATE.name).render(
        sections=sections,
        headline=words.headline([row.recommendation for row in rows]),
        scale=_scale_drawing(scale) if has_scale else None,
        scale_sentences=words.scale_sentences(scale) if has_scale else [],
        profiles=profiles,
        profile_table=tables.profile_table(profiles),
        meanings=verdicts.MEANINGS,
        params=params,
        params_text=params_text(params),
        versions=installed_versions(),
        machines=sorted({pair.measurement.machine for pair in pairs}),
    )


def _section(
    index: int, pair: Pair, corrected: CorrectedVerdict, row: SummaryRow, params: Params
) -> Section:
    return Section(
        anchor=f"pair-{index}",
        pair=pair,
        row=row,
        corrected=corrected,
        reason=words.sentence(corrected.reason),
        fit=words.sentence(fit_of_pair(pair).text),
        notes=words.notes_on(pair, corrected, params),
        rank=words.rank_sentence(pair),
        stability=stability.stability_sentences(pair.stability),
        settings=stability.stability_table(pair.stability),
        drawings=_drawings(pair, prefix=f"pair-{index}"),
        calibration=_calibration(pair),
        options=sensitivity.option_table(pair.scores.few_layer_changes, pair.units),
        null_panel=tables.null_panel_table(pair),
        latency=tables.latency_table(pair),
        runtimes=tables.runtime_table(pair),
        sizes=tables.size_table(pair),
        times=tables.time_table(pair),
    )


def _calibration(pair: Pair) -> tables.Table | None:
    found = pair.scores.sensitivity
    return sensitivity.calibration_table(found) if found else None


def _drawings(pair: Pair, *, prefix: str) -> dict[str, list[Drawing]]:
    def drawing(figure: Figure, name: str, caption: str, width: str = "half") -> Drawing:
        svg = to_svg(figure, name=f"{prefix}-{name}", label=f"{name}: {caption}")
        return Drawing(svg=Markup(svg), caption=caption, width=width)  # noqa: S704 - to_svg escapes

    keep, units = pair.prune.keep, pair.units
    similarity = partial(layers.draw_similarity, units=units)
    parts = pair.scores.removal
    best = {str(option.name): option.training.best_step for option in pair.prune.options}
    full_error = cost.validation_error(pair, "full")
    return {
        "cost": [
            drawing(
                cost.draw_error_vs_cost(pair),
                "error against cost",
                "Left: validation error of every mask tried, before any healing. Right: after "
                "healing. Dashed: the full model; band: the margin above it.",
                "wide",
            )
        ],
        "panel": [
            drawing(
                errors.draw_null_panel(pair),
                "null panel",
                "Lower is better; a dot at the right edge lies beyond it.",
            ),
            drawing(
                errors.draw_horizon(pair),
                "error per step",
                "Where along the horizon the pruned model gains or loses.",
            ),
        ],
        "scores": [
            drawing(
                layers.draw_score(name, score, keep=keep, units=units), f"score {name}", "", "small"
            )
            for name, score in pair.scores.scores.items()
        ]
        + (
            [drawing(layers.draw_sublayers(pair.scores.sublayers), "removal of parts", "", "small")]
            if pair.scores.sublayers
            else []
        ),
        "removal": [
            drawing(removal.draw_steps(parts.steps, units), "removal loss by step", "", "third"),
            drawing(
                removal.draw_series(parts.series, units), "removal loss by series", "", "third"
            ),
            drawing(
                removal.draw_volatility(parts.volatility, units),
                "removal loss by kind",
                "",
                "third",
            ),
        ]
        if parts
        else [],
        "similarity": [
            drawing(
                similarity(pair.scores.cosine, title="Cosine similarity of states"),
                "cosine similarity",
                units.told("Dark squares are runs of blocks that hardly turn the state."),
                "third",
            ),
            drawing(
                similarity(pair.scores.cka, title="Linear CKA of states"),
                "CKA similarity",
                units.told("Dark squares are runs of blocks with the same representation."),
                "third",
            ),
            drawing(
                layers.draw_healing_ranks(pair.search),
                "ranks before and after healing",
                "Each line is one mask, the best of its size on top; the chosen one is thick.",
                "third",
            ),
        ],
        "stability": [
            drawing(
                stability.draw_stability(pair.stability),
                "masks in other settings",
                f"Each on {pair.stability.windows} windows of its own, before healing.",
            )
        ],
        "forecasts": [
            drawing(errors.draw_forecast(sample), f"forecast {number}", "")
            for number, sample in enumerate(pair.forecasts)
        ],
        "training": [
            drawing(
                curves.draw_training(pair.history, best_step=pair.training.best_step),
                "training",
                "The diamond marks the checkpoint that was kept.",
            ),
            drawing(
                curves.draw_healing(
                    pair.healing, best_steps=best, chosen=pair.prune.chosen, target=full_error
                ),
                "healing",
                words.healing_sentence(pair.prune),
            ),
        ],
    }


def _scale_drawing(scale: Sequence[curves.SizedError]) -> Drawing:
    caption = (
        "1 is the best full model of each dataset; lines join models that differ in size only."
    )
    svg = to_svg(curves.draw_scale(scale), name="scale", label="error against scale")
    return Drawing(svg=Markup(svg), caption=caption, width="wide")  # noqa: S704 - to_svg escapes


def params_text(params: Params) -> str:
    """The sections of params.yaml that this run used, as YAML."""
    content = params.model_dump(mode="json", exclude={"runtime", "presets"})
    prepared = {*params.run.datasets, *params.run.corpora}
    models = {*params.run.models, *params.run.pretrain, *params.run.imports}
    scales = {scale for name in models if (scale := params.scale_name(name))}
    used = {"datasets": prepared, "models": models, "scales": scales, "mixes": params.run.mixes}
    for section, names in used.items():
        content[section] = {
            name: content[section][name] for name in content[section] if name in names
        }
    return yaml_text(_without_none(content))


def _without_none(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_none(item) for key, item in value.items() if item is not None}
    return value


def installed_versions() -> dict[str, str]:
    """Versions of the packages that decide the numbers; those not installed are left out."""
    found = {}
    for package in PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found

"""What is on the dashboards: queries, and how a panel of each kind looks, what colours mean, what stands where nothing is."""

# The SDK is for Python 3.11 and later; of its enums pyright, told of 3.10, does not know that they are.
# pyright: reportArgumentType=false

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from grafana_foundation_sdk.builders import bargauge, common, prometheus, stat, statetimeline, table, timeseries
from grafana_foundation_sdk.builders import dashboard as build
from grafana_foundation_sdk.models import common as looks
from grafana_foundation_sdk.models import dashboard as model
from grafana_foundation_sdk.models.prometheus import PromQueryFormat

__all__ = [
    "BAD",
    "GOOD",
    "NEUTRAL",
    "SOURCE",
    "STATUSES",
    "WARNING",
    "Column",
    "Panel",
    "bars",
    "by",
    "listing",
    "named",
    "number",
    "query",
    "ranking",
    "series",
    "states",
    "steps",
]

Panel = Any
"""A builder of a panel, of any kind."""

# Okabe and Ito's colours, which colour-blind people can tell apart
GOOD, WARNING, BAD, NEUTRAL = "#009E73", "#E69F00", "#D55E00", "#56B4E9"
STATUSES = {"success": GOOD, "partial": "#CC79A7", "failure": BAD, "timeout": WARNING, "cancelled": "#999999"}
SOURCE = looks.DataSourceRef(type_val="prometheus", uid="${datasource}")


# -- queries -----------------------------------------------------------------------------------------------


def query(expression: str, legend: str = "", *, name: str = "A", now: bool = False, exemplars: bool = False) -> Any:
    """Return a query; `now`: of one value a series, which a table or a number shows."""
    made = prometheus.Dataquery().expr(expression).ref_id(name).datasource(SOURCE)
    made = (made.instant() if now else made.range()).legend_format(legend or "__auto")
    made = made.format(PromQueryFormat.TABLE if now and not legend else PromQueryFormat.TIME_SERIES)
    return made.exemplar(True) if exemplars else made


def named(expression: str, label: str) -> str:
    """Return the expression with "(none)" where the label has no value, so that a legend says so."""
    return f'label_replace({expression}, "{label}", "(none)", "{label}", "")'


def by(label: str, expression: str) -> str:
    """Return the sum by a label, which is "(none)" where it has no value."""
    return named(f"sum by ({label}) ({expression})", label)


# -- panels ------------------------------------------------------------------------------------------------


def steps(*limits: tuple[float, str], first: str = GOOD) -> Any:
    """Return thresholds: the first colour, and another from each limit on."""
    colours = [model.Threshold(value=None, color=first)]
    colours += [model.Threshold(value=value, color=colour) for value, colour in limits]
    return build.ThresholdsConfig().mode(model.ThresholdsMode.ABSOLUTE).steps(colours)


def _begun(panel: Any, title: str, unit: str, description: str, nothing: str, width: int, height: int) -> Any:
    is_of_many = isinstance(panel, timeseries.Panel)
    colours = model.FieldColorModeId.PALETTE_CLASSIC_BY_NAME if is_of_many else model.FieldColorModeId.THRESHOLDS
    panel = panel.title(title).description(description).datasource(SOURCE).unit(unit).no_value(nothing)
    return panel.span(width).height(height).color_scheme(build.FieldColor().mode(colours))


def number(
    title: str,
    unit: str,
    description: str,
    expression: str,
    *,
    nothing: str,
    thresholds: Any = None,
    decimals: int | None = None,
) -> Panel:
    """Return one number; without thresholds it is neither good nor bad."""
    panel = _begun(stat.Panel(), title, unit, description, nothing, 4, 4).with_target(
        query(expression, title, now=True)
    )
    panel = panel.graph_mode(looks.BigValueGraphMode.NONE).text_mode(looks.BigValueTextMode.VALUE)
    panel = panel.color_mode(looks.BigValueColorMode.VALUE).thresholds(thresholds or steps(first=NEUTRAL))
    panel = panel.reduce_options(common.ReduceDataOptions().calcs(["lastNotNull"]))
    return panel if decimals is None else panel.decimals(decimals)


def series(
    title: str,
    unit: str,
    description: str,
    *queries: Any,
    nothing: str,
    least: float | None = 0,
    most: float | None = None,
    thresholds: Any = None,
    width: int = 12,
) -> Panel:
    """Return lines over time; thresholds are drawn as lines. Where there is less than `most`, the axis goes to there."""
    panel = _begun(timeseries.Panel(), title, unit, description, nothing, width, 8)
    panel = panel.line_width(2).fill_opacity(8).show_points(looks.VisibilityMode.AUTO)
    panel = panel.span_nulls(120_000)  # ms: a gap of a scrape or two is none of the program's
    panel = panel if least is None else panel.min(least)
    panel = panel if most is None else panel.axis_soft_max(most)
    if thresholds is not None:
        style = common.GraphThresholdsStyleConfig().mode(looks.GraphThresholdsStyleMode.DASHED)
        panel = panel.thresholds(thresholds).thresholds_style(style)
    legend = common.VizLegendOptions().display_mode(looks.LegendDisplayMode.TABLE).show_legend(True)
    legend = legend.placement(looks.LegendPlacement.BOTTOM).calcs(["lastNotNull", "max"])
    tooltip = common.VizTooltipOptions().mode(looks.TooltipDisplayMode.MULTI).sort(looks.SortOrder.DESCENDING)
    panel = panel.legend(legend).tooltip(tooltip)
    for each in queries:
        panel = panel.with_target(each)
    return panel


def bars(
    title: str,
    unit: str,
    description: str,
    *queries: Any,
    nothing: str,
    colours: Mapping[str, str] | None = None,
    width: int = 12,
) -> Panel:
    """Return stacked bars over time."""
    panel = series(title, unit, description, *queries, nothing=nothing, width=width)
    panel = panel.draw_style(looks.GraphDrawStyle.BARS).fill_opacity(80).line_width(0)
    panel = panel.stacking(common.StackingConfig().mode(looks.StackingMode.NORMAL).group("A"))
    for name, colour in (colours or {}).items():
        panel = panel.override_by_name(name, [_value("color", {"mode": "fixed", "fixedColor": colour})])
    return panel


def ranking(title: str, unit: str, description: str, expression: str, label: str, *, nothing: str) -> Panel:
    """Return the ten with most of it."""
    most = query(f"sort_desc(topk(10, {expression} > 0))", f"{{{{{label}}}}}", now=True)
    panel = _begun(bargauge.Panel(), title, unit, description, nothing, 8, 8).with_target(most).min(0)
    panel = panel.display_mode(looks.BarGaugeDisplayMode.BASIC).orientation(looks.VizOrientation.HORIZONTAL)
    panel = panel.reduce_options(common.ReduceDataOptions().calcs(["lastNotNull"])).show_unfilled(False)
    return panel.thresholds(steps(first=NEUTRAL))


def states(
    title: str, description: str, expression: str, legend: str, names: Mapping[str, tuple[str, str]], *, nothing: str
) -> Panel:
    """Return a lane for each series; each value has a name and a colour."""
    told = {value: model.ValueMappingResult(text=text, color=colour) for value, (text, colour) in names.items()}
    panel = _begun(statetimeline.Panel(), title, "none", description, nothing, 12, 8)
    panel = panel.with_target(query(expression, legend)).mappings([model.ValueMap(options=told)])
    return panel.show_value(looks.VisibilityMode.NEVER).fill_opacity(80).thresholds(steps(first=NEUTRAL))


class Column:
    """A column of a table: a label, or the value of an expression.

    Args:
        field: The label; None: the expression's value.
        thresholds: What colours its text.
        links: Title and address of where it leads.
    """

    def __init__(
        self,
        title: str,
        expression: str | None = None,
        *,
        field: str | None = None,
        unit: str = "none",
        thresholds: Any = None,
        links: Sequence[tuple[str, str]] = (),
    ) -> None:
        self.title, self.expression, self.field = title, expression, field
        self.unit, self.thresholds, self.links = unit, thresholds, links


def listing(
    title: str, description: str, columns: Iterable[Column], *, sort: str, nothing: str, most_first: bool = True
) -> Panel:
    """Return a table with a row for each set of labels."""
    panel = _begun(table.Panel(), title, "none", description, nothing, 24, 10)
    names = iter("ABCDEFGHIJ")
    order: dict[str, int] = {}
    for column in columns:
        field = column.field
        if column.expression is not None:
            name = next(names)
            field = f"Value #{name}"
            panel = panel.with_target(query(column.expression, name=name, now=True))
        assert field is not None, column.title
        order[field] = len(order)
        properties = [_value("displayName", column.title), _value("unit", column.unit)]
        if column.thresholds is not None:
            properties.append(_value("thresholds", column.thresholds.build()))
            properties.append(_value("custom.cellOptions", {"type": "color-text"}))
        if column.links:
            links = [{"title": text, "url": url, "targetBlank": True} for text, url in column.links]
            properties.append(_value("links", links))
        panel = panel.override_by_name(field, properties)
    panel = panel.with_transformation(model.DataTransformerConfig(id_val="merge", options={}))
    organized = {"excludeByName": {"Time": True}, "indexByName": order, "renameByName": {}}
    panel = panel.with_transformation(model.DataTransformerConfig(id_val="organize", options=organized))
    return panel.sort_by([common.TableSortByFieldState().display_name(sort).desc(most_first)])


def _value(name: str, value: object) -> model.DynamicConfigValue:
    return model.DynamicConfigValue(id_val=name, value=value)

"""A dashboard as a whole: its variables, its links, its rows.

Panels are laid out from left to right in a grid of 24 columns, in rows, in the order in which they are given.
"""

# The SDK is for Python 3.11 and later; of its enums pyright, told of 3.10, does not know that they are.
# pyright: reportArgumentType=false

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from grafana_foundation_sdk.builders import dashboard as build
from grafana_foundation_sdk.models import dashboard as model
from grafana_foundation_sdk.models.common import TimeZoneBrowser

from tools.dashboards.parts import SOURCE, Panel

__all__ = ["choice", "dashboard"]

TAG = "otel-feedback"
JAEGER, PAGE = "http://localhost:16686", "http://localhost:4390"


def choice(name: str, label: str, metric: str, of: str) -> Any:
    """Return a variable: any values of a label, or all of them, also where there is none."""
    definition = f"label_values({metric}, {of})"
    asked: dict[str, object] = {
        "qryType": 1,
        "query": definition,
        "refId": "PrometheusVariableQueryEditor-VariableQuery",
    }
    made = build.QueryVariable(name).label(label).datasource(SOURCE).query(asked).definition(definition)
    made = made.multi(True).include_all(True).all_value(".*").sort(model.VariableSort.ALPHABETICAL_ASC)
    made = made.refresh(model.VariableRefresh.ON_TIME_RANGE_CHANGED)
    return made.current(model.VariableOption(selected=True, text=["All"], value=["$__all"]))


def _link(title: str, url: str, tooltip: str) -> Any:
    made = build.DashboardLink(title).type(model.DashboardLinkType.LINK).url(url).tooltip(tooltip)
    return made.icon("external link").target_blank(True)


def _address(name: str, label: str, url: str) -> Any:
    made = build.TextBoxVariable(name).label(label).default_value(url)
    made = made.current(model.VariableOption(selected=True, text=url, value=url))
    return made.hide(model.VariableHide.IN_CONTROLS_MENU)


def dashboard(
    uid: str, title: str, description: str, variables: Iterable[Any], rows: Mapping[str, Sequence[Panel]]
) -> model.Dashboard:
    """Return a dashboard of these rows."""
    made = build.Dashboard(title).uid(f"otel-feedback-{uid}").description(description).tags([TAG]).editable()
    made = made.timezone(TimeZoneBrowser).time("now-1h", "now").refresh("30s")
    made = made.tooltip(model.DashboardCursorSync.CROSSHAIR)
    source = build.DatasourceVariable("datasource").label("Prometheus").type("prometheus")
    made = made.with_variable(
        source.current(model.VariableOption(selected=True, text="Prometheus", value="prometheus"))
    )
    for variable in (*variables, _address("jaeger", "Jaeger", JAEGER), _address("page", "Page", PAGE)):
        made = made.with_variable(variable)
    others = build.DashboardLink("otel-feedback").type(model.DashboardLinkType.DASHBOARDS).tags([TAG])
    made = made.link(others.include_vars(True).keep_time(True))
    made = made.link(_link("Jaeger", "${jaeger}/search", "Traces"))
    made = made.link(_link("Page", "${page}/", "Outcomes one by one: otel-feedback ui"))
    number_of = 0
    for name, panels in rows.items():
        number_of += 1
        made = made.with_row(build.Row(name).id(number_of))
        for panel in panels:
            number_of += 1
            made = made.with_panel(panel.id(number_of))
    built = made.build()
    for each in built.links or ():
        each.placement = None  # else they are in a menu
    return built

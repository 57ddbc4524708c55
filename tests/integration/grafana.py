"""What Grafana does with the dashboards in `collector-config/`, as far as their queries go: choices, variables, intervals.

How its data source for Prometheus interpolates: https://grafana.com/docs/grafana/latest/datasources/prometheus/template-variables/
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from tests.stack.prometheus import Prometheus
from tests.support import ROOT

GRAFANA = ROOT / "collector-config" / "grafana"
ALL = ("$__all",)
_SPECIAL = re.compile(r"[$^*{}\[\]'+?.()|]")
_VARIABLE = re.compile(r"\$(\w+)|\$\{(\w+)(?::\w+)*\}")

Dashboard = dict[str, Any]
Choices = Mapping[str, Sequence[str]]
"""The values that are chosen of each variable; `ALL`, or nothing: all of them."""


class Target(NamedTuple):
    """A query of a panel."""

    dashboard: str
    panel: str
    name: str
    expression: str
    is_instant: bool

    def __str__(self) -> str:
        return f"{self.dashboard}: {self.panel}: {self.name}"


def dashboards() -> dict[str, Dashboard]:
    """Return the dashboards by the names of their files."""
    return {path.stem: json.loads(path.read_text("utf-8")) for path in sorted((GRAFANA / "dashboards").glob("*.json"))}


def panels(dashboard: Dashboard) -> Iterator[dict[str, Any]]:
    """Return what shows data: all panels but the titles of rows."""
    return (panel for panel in dashboard["panels"] if panel["type"] != "row")


def targets() -> list[Target]:
    """Return the queries of all dashboards."""
    return [
        Target(name, panel["title"], target["refId"], target["expr"], target["instant"])
        for name, dashboard in dashboards().items()
        for panel in panels(dashboard)
        for target in panel["targets"]
    ]


def choices(dashboard: Dashboard) -> dict[str, dict[str, Any]]:
    """Return the variables whose values Prometheus is asked for, by name."""
    return {each["name"]: each for each in dashboard["templating"]["list"] if each["type"] == "query"}


def interpolate(text: str, dashboard: Dashboard, chosen: Choices, *, range_s: int, step_s: int, scrape_s: int) -> str:
    """Return a query as Grafana sends it."""
    known = choices(dashboard)
    built_in = {
        "__range": f"{range_s}s",
        "__interval": f"{step_s}s",
        "__rate_interval": f"{max(step_s + scrape_s, 4 * scrape_s)}s",
    }

    def value(match: re.Match[str]) -> str:
        name = match[1] or match[2]
        if name in built_in:
            return built_in[name]
        values = chosen.get(name, ALL)
        if values == ALL:
            return str(known[name]["allValue"])
        escaped = [_SPECIAL.sub(r"\\\\\g<0>", value) for value in values]
        return escaped[0] if len(escaped) == 1 else f"({'|'.join(escaped)})"

    return _VARIABLE.sub(value, text)


def values(name: str, dashboard: Dashboard, chosen: Choices, prometheus: Prometheus) -> set[str]:
    """Return what can be chosen of a variable."""
    query = interpolate(choices(dashboard)[name]["query"]["query"], dashboard, chosen, range_s=60, step_s=1, scrape_s=1)
    match = re.fullmatch(r"label_values\((.+), *(\w+)\)", query)
    assert match is not None, query
    return prometheus.label_values(match[2], match[1])


def provisioned(kind: str) -> Iterator[tuple[Path, dict[str, Any]]]:
    """Return the files of one kind that Grafana reads at its start."""
    import yaml

    for path in sorted((GRAFANA / "provisioning" / kind).glob("*.yaml")):
        yield path, yaml.safe_load(path.read_text("utf-8"))

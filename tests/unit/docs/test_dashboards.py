"""The dashboards of Grafana are those of the code, as Grafana takes them, and whole; what provisions them names what is there."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from otel_feedback.events.model import OutcomeStatus
from tests.integration import grafana
from tests.support import ROOT

HAS_SDK = sys.version_info >= (3, 11)
UNITS = frozenset((Path(__file__).parent / "grafana_units.txt").read_text("utf-8").split())
DASHBOARDS = grafana.dashboards()
SOURCE = {"type": "prometheus", "uid": "${datasource}"}

each_dashboard = pytest.mark.parametrize("dashboard", DASHBOARDS.values(), ids=DASHBOARDS)


def test_they_are_those_of_the_code() -> None:
    if not HAS_SDK:
        return
    from tools import kept
    from tools.dashboards.__main__ import files

    wanted = list(files())
    assert {path.stem for path, _ in wanted} == set(DASHBOARDS)
    found = kept.differences(wanted)
    assert not found, "run: python -m tools.dashboards\n" + "\n".join(difference for _, difference in found)


@each_dashboard
def test_the_sdk_reads_what_it_wrote(dashboard: grafana.Dashboard) -> None:
    """A name or a value that its types do not have is lost, or refused, on the way."""
    if not HAS_SDK:
        return
    from grafana_foundation_sdk.cog.encoder import JSONEncoder
    from grafana_foundation_sdk.cog.plugins import register_default_plugins
    from grafana_foundation_sdk.models.dashboard import Dashboard

    register_default_plugins()
    read = json.loads(json.dumps(Dashboard.from_json(dashboard), cls=JSONEncoder))
    for link in read["links"]:
        assert link.pop("placement") == "inControlsMenu"  # what it takes for the default is none of Grafana's
    assert read == dashboard


@each_dashboard
def test_panels_say_what_they_show_and_what_to_do_where_there_is_nothing(dashboard: grafana.Dashboard) -> None:
    for panel in grafana.panels(dashboard):
        shown = panel["fieldConfig"]["defaults"]
        assert panel["title"], panel["id"]
        assert panel["description"].endswith("."), panel["title"]
        assert shown["noValue"], panel["title"]
        assert panel["datasource"] == SOURCE, panel["title"]
        units = [shown["unit"]] + [
            each["value"] for over in shown_overrides(panel) for each in over["properties"] if each["id"] == "unit"
        ]
        assert UNITS.issuperset(units), panel["title"]
        for target in panel["targets"]:
            assert target["datasource"] == SOURCE, panel["title"]
            assert panel["type"] == "table" or target["legendFormat"] != "__auto", panel["title"]


def shown_overrides(panel: dict[str, Any]) -> list[dict[str, Any]]:
    return panel["fieldConfig"].get("overrides") or []


@each_dashboard
def test_no_two_panels_are_in_one_place(dashboard: grafana.Dashboard) -> None:
    taken: dict[tuple[int, int], str] = {}
    for panel in dashboard["panels"]:
        place = panel["gridPos"]
        for x in range(place["x"], place["x"] + place["w"]):
            for y in range(place["y"], place["y"] + place["h"]):
                assert x < 24, panel["title"]
                assert (x, y) not in taken, (panel["title"], taken[x, y])
                taken[x, y] = panel["title"]
    numbers = [panel["id"] for panel in dashboard["panels"]]
    assert len(set(numbers)) == len(numbers)


@each_dashboard
def test_variables_are_there_and_used(dashboard: grafana.Dashboard) -> None:
    names = [each["name"] for each in dashboard["templating"]["list"]]
    told = json.dumps([dashboard["panels"], dashboard["links"], dashboard["templating"]])
    used = set(re.findall(r"\$\{?([a-z]\w*)", told))
    assert used == set(names)
    for variable in grafana.choices(dashboard).values():
        assert variable["multi"], variable["name"]
        assert variable["includeAll"], variable["name"]
        assert variable["allValue"] == ".*", "All is also what has no such label"
        asked_before = set(re.findall(r"\$(\w+)", variable["query"]["query"]))
        assert asked_before <= set(names[: names.index(variable["name"])]), variable["name"]


@each_dashboard
def test_each_looks_the_same(dashboard: grafana.Dashboard) -> None:
    assert (dashboard["timezone"], dashboard["refresh"]) == ("browser", "30s")
    assert dashboard["uid"].startswith("otel-feedback-")
    assert [link["title"] for link in dashboard["links"]] == ["otel-feedback", "Jaeger", "Page"]


def test_every_status_has_its_colour() -> None:
    colours: dict[str, set[str]] = {}
    for dashboard in DASHBOARDS.values():
        for panel in grafana.panels(dashboard):
            for over in shown_overrides(panel):
                for each in over["properties"]:
                    if each["id"] == "color":
                        colours.setdefault(over["matcher"]["options"], set()).add(each["value"]["fixedColor"])
    assert set(colours) == {status.value for status in OutcomeStatus} - {"pending"}
    assert all(len(of_one) == 1 for of_one in colours.values())
    assert len(set().union(*colours.values())) == len(colours)


def test_what_grafana_reads_at_its_start_names_what_is_there() -> None:
    compose = yaml.safe_load((ROOT / "docker-compose.yml").read_text("utf-8"))["services"]
    service = compose["grafana"]
    [mount] = service["volumes"]
    here, there = mount.split(":")[:2]

    def local(path: str) -> Path:
        assert path.startswith(f"{there}/"), path
        return ROOT / here / path.removeprefix(f"{there}/")

    told = service["environment"]
    assert local(told["GF_PATHS_PROVISIONING"]) == grafana.GRAFANA / "provisioning"
    assert local(told["GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH"]).is_file()
    [(_, providers)] = grafana.provisioned("dashboards")
    [provider] = providers["providers"]
    assert local(provider["options"]["path"]) == grafana.GRAFANA / "dashboards"
    [(_, sources)] = grafana.provisioned("datasources")
    [source] = sources["datasources"]
    for dashboard in DASHBOARDS.values():
        [chosen] = [each for each in dashboard["templating"]["list"] if each["type"] == "datasource"]
        assert chosen["current"]["value"] == source["uid"]
    scraped = yaml.safe_load((ROOT / "collector-config" / "prometheus.yaml").read_text("utf-8"))["global"]
    assert source["jsonData"]["timeInterval"] == scraped["scrape_interval"]
    host, port = source["url"].removeprefix("http://").split(":")
    assert f"127.0.0.1:{port}:{port}" in compose[host]["ports"]
    [exemplars] = source["jsonData"]["exemplarTraceIdDestinations"]
    [jaeger] = {each["query"] for each in DASHBOARDS["fleet"]["templating"]["list"] if each["name"] == "jaeger"}
    assert exemplars["url"] == f"{jaeger}/trace/$${{__value.raw}}"

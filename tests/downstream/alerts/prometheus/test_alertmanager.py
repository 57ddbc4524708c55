"""Channels for Alertmanager: amtool reads them, and says whom an alert goes to."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
import yaml

from otel_feedback.downstream.alerts.prometheus.writing import write
from otel_feedback.downstream.alerts.prometheus.yaml import text_of
from otel_feedback.downstream.alerts.reading import parse
from tests.downstream.alerts.prometheus.test_rules import SECRETS, run
from tests.support import run_cli

CHANNELS = {
    "team": "slack://${SLACK_TOKENS}/#agents",
    "pager": "pagerduty://key-of-pagerduty@api-key",
    "genie": "opsgenie://${OPSGENIE}",
    "office": "workflows://host/of/${FLOW}",
    "mail": "mailtos://bot:${MAIL_PASSWORD}@mail.example?to=ops@mail.example&from=bot@mail.example",
    "hook": "jsons://user:password-of-hook@hooks.example/path",
}
FILE = (
    "".join(f'[[channel]]\nname = "{name}"\nurl = "{url}"\n' for name, url in CHANNELS.items())
    + """
[[rule]]
name = "errors"
kind = "errors"
channels = ["team", "pager"]
[[rule]]
name = "slow.p95"
kind = "latency"
remind = "4h"
channels = "team"
[[rule]]
name = "cost"
kind = "cost"
[[rule]]
name = "stuck"
kind = "stuck"
channels = "genie"
"""
)


def routes(amtool: Path, path: Path, alert: str) -> set[str]:
    said = run(amtool, "config", "routes", "test", f"--config.file={path}", f"alertname={alert}", "agent=planner")
    return set(said.strip().split(","))


def test_amtool_takes_it_and_each_alert_goes_to_its_channels(tmp_path: Path, amtool: Path) -> None:
    path = tmp_path / "alertmanager.yaml"
    path.write_text(write(parse(FILE), "alerts.toml", SECRETS).alertmanager)
    assert "7 receivers" in run(amtool, "check-config", str(path))
    assert routes(amtool, path, "errors") == {"team", "pager"}
    assert routes(amtool, path, "slow.p95") == {"team"}
    assert routes(amtool, path, "cost") == set(CHANNELS)
    assert routes(amtool, path, "slow-p95") == {"nobody"}


def test_no_secret_is_in_it_and_each_receiver_closes_what_it_opened() -> None:
    written = write(parse(FILE), "alerts.toml", SECRETS)
    for text in (written.rules, written.alertmanager, *written.unsaid, *written.secrets):
        assert not any(
            secret in text for secret in ("key-of-pagerduty", "api-key", "password-of-hook", "${", "hooks.example")
        )
    assert written.alertmanager.count("send_resolved: true") == len(CHANNELS)
    assert [line.partition(":")[0] for line in written.secrets] == [f"{SECRETS}/{name}" for name in CHANNELS]
    assert 'channel: "#agents"' in written.alertmanager
    assert 'repeat_interval: "4h"' in written.alertmanager


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("${ANY}", "which service it is, is in the environment"),
        ("tgram://${BOT}/chat", "it knows no tgram://; `alerts run` does"),
        ("mailto://bot:${P}@${HOST}", "its addresses or its server are in the environment"),
    ],
)
def test_what_alertmanager_cannot_have_is_named(url: str, said: str) -> None:
    written = write(parse(f'[[channel]]\nname = "it"\nurl = "{url}"'), "alerts.toml", SECRETS)
    assert any(line.startswith(f"channel it is not in Alertmanager: {said}") for line in written.unsaid)
    assert "it_" not in written.alertmanager


def test_the_command_writes_both_and_touches_nothing_of_others(tmp_path: Path) -> None:
    (tmp_path / "alerts.toml").write_text(FILE)
    done = run_cli("alerts", "prometheus", "--out", "made", folder=tmp_path)
    assert done.returncode == 0
    assert done.stdout == "made/rules/otel-feedback.yaml, made/alertmanager.yaml: 3 rules\n"
    assert "rule stuck (stuck) is not in Prometheus: no metric counts what began and did not end\n" in done.stderr
    assert "/etc/alertmanager/secrets/team: the URL of an incoming webhook" in done.stderr
    assert run_cli("alerts", "prometheus", "--out", "made", folder=tmp_path).returncode == 0, "made anew"
    (tmp_path / "made/alertmanager.yaml").write_text("route:\n")
    refused = run_cli("alerts", "prometheus", "--out", "made", folder=tmp_path)
    assert (refused.returncode, "was not made by this command" in refused.stderr) == (1, True)
    assert (tmp_path / "made/alertmanager.yaml").read_text() == "route:\n"
    shown = run_cli("alerts", "prometheus", folder=tmp_path)
    assert shown.stdout.startswith("# rules/otel-feedback.yaml\n# Made by")
    assert "\n---\n# alertmanager.yaml\n" in shown.stdout


def test_yaml_is_what_other_readers_take_it_for() -> None:
    """Texts that look like something else stay texts."""
    value = {"a": ["yes", "1", "", "- x", "a: b", "é\t\"'\\", "two\nlines  ", {"b": [], "c": {}, "d": 1.5, "e": True}]}
    assert yaml.safe_load(text_of(value, ["of a test"])) == value


def test_nobody_is_told_where_there_is_no_channel(tmp_path: Path, amtool: Path) -> None:
    path = tmp_path / "alertmanager.yaml"
    path.write_text(write(parse('[[rule]]\nname = "errors"\nkind = "errors"'), "alerts.toml", SECRETS).alertmanager)
    done = subprocess.run([str(amtool), "check-config", str(path)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert routes(amtool, path, "errors") == {"nobody"}

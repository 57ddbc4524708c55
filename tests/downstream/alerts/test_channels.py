"""Channels: what Slack, PagerDuty, Opsgenie, Teams, a webhook and a mail server are sent by the real Apprise, and what nobody
gets to see."""

from __future__ import annotations

import io
import logging
from collections.abc import Sequence
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest

from otel_feedback.downstream.alerts.advancing import Said
from otel_feedback.downstream.alerts.channels import ChannelError, Sender, missing_variables
from otel_feedback.downstream.alerts.machine import Alert, Phase, Told
from otel_feedback.downstream.alerts.messages import body_of, mood_of, title_of
from otel_feedback.downstream.alerts.observing import Key
from otel_feedback.downstream.alerts.rules import Channel, Options, Rule
from tests.downstream.alerts.standins import OPSGENIE, PAGERDUTY, Everybody, Mails, mail_server

SLACK = {"SLACK_TOKENS": "T1JJ3T3L2/A1BRTD4JD/TIiajkdnlazkcOXrIdevi7FQ"}
AT = datetime(2026, 3, 2, 9, 5, tzinfo=timezone.utc)
RULE = Rule(name="errors", kind="errors", above=0.1)


def alert(agent: str = "planner", **fields: object) -> Alert:
    given: dict[str, object] = {
        "phase": Phase.FIRING, "since": AT, "changed": AT, "seen": AT, "value": 0.42, "worst": 0.5, "count": 120,
        "severity": "warning", "usual": 0.03, "run_id": "run-7", **fields,
    }  # fmt: skip
    return Alert(key=Key("errors", "acme", agent, "plan"), **given)  # type: ignore[arg-type]


def sender(url: str, variables: dict[str, str] | None = None) -> Sender:
    return Sender(Channel(name="team", url=url), variables or {})


def tell(to: Sender, *said: Said, still_open: int = 0) -> None:
    """Send what one that runs would."""
    options = Options(link="https://traces.example/{run_id}")
    mood = mood_of(said, still_open=still_open)
    to.send(title_of("errors", RULE, said), body_of(RULE, options, said), mood, "otel-feedback:errors")


def opened(count: int) -> Sequence[Said]:
    return [Said(Told.OPENED, alert(f"agent-{number}")) for number in range(count)]


PARTS = (
    "errors: 2 firing", "tenant acme, agent planner, action plan", "42.0 % since 2026-03-02 09:05Z, of 120",
    "usual is 3.0 %, so 14 times as much", "failures and timeouts by actions that ended", "agent writer",
    "otel-feedback trace run-7", "https://traces.example/run-7",
)  # fmt: skip
TWO = (Said(Told.OPENED, alert()), Said(Told.OPENED, alert("writer", usual=None)))
TEAMS = "workflows://prod-03.westus.logic.azure.com/${TEAMS_FLOW}/${TEAMS_SIGNATURE}"


@pytest.mark.parametrize(
    ("url", "variables", "host", "path"),
    [
        ("slack://${SLACK_TOKENS}", SLACK, "hooks.slack.com", "/services/T1JJ3T3L2/A1BRTD4JD/TIiajkdnlazkcOXrIdevi7FQ"),
        (TEAMS, {"TEAMS_FLOW": "5d8ff3d3b0", "TEAMS_SIGNATURE": "mmR-KdMEKz3"}, "prod-03.westus.logic.azure.com",
         "/workflows/5d8ff3d3b0/triggers/manual/paths/invoke"),
        ("jsons://hooks.example/alerts", {}, "hooks.example", "/alerts"),
        ("opsgenie://${KEY}", {"KEY": "a1b2c3d4-aaaa-bbbb-cccc-000011112222"}, OPSGENIE, "/v2/alerts"),
    ],
)  # fmt: skip
def test_a_message_says_what_since_when_how_much_worse_and_an_example(
    others: Everybody, url: str, variables: dict[str, str], host: str, path: str
) -> None:
    tell(sender(url, variables), *TWO)
    (request,) = others.to(host)
    assert request.path.partition("?")[0] == path
    text = str(request.body).replace("\\", "")
    assert [part for part in PARTS if part not in text] == []


def test_pagerduty_says_it_in_as_much_as_it_takes(others: Everybody) -> None:
    tell(sender(PD, PD_KEYS), *TWO)
    (request,) = others.to(PAGERDUTY)
    summary = request.body["payload"]["summary"]
    assert [part for part in PARTS if part not in summary] == []
    assert request.body["routing_key"] == "R" * 32


PD = "pagerduty://${PD_ROUTE}@${PD_KEY}"
PD_KEYS = {"PD_ROUTE": "R" * 32, "PD_KEY": "K" * 20}
KEY = {"KEY": "a1b2c3d4-aaaa-bbbb-cccc-000011112222"}


@pytest.mark.parametrize(("url", "variables", "host"), [(PD, PD_KEYS, PAGERDUTY), ("opsgenie://${KEY}", KEY, OPSGENIE)])
def test_an_incident_closes_when_all_of_its_rule_is_over(
    others: Everybody, url: str, variables: dict[str, str], host: str
) -> None:
    """Each notification has a sender of its own, as after a restart: what closes is not remembered in one."""
    tell(sender(url, variables), *opened(60))
    assert others.incidents(host) == {"otel-feedback:errors": True}
    tell(sender(url, variables), Said(Told.RESOLVED, alert()), still_open=59)
    tell(sender(url, variables), Said(Told.EXPIRED, alert()))
    assert others.incidents(host) == {"otel-feedback:errors": True}, "of what expired nobody knows that it is over"
    tell(sender(url, variables), Said(Told.RESOLVED, alert()))
    assert others.incidents(host) == {"otel-feedback:errors": False}
    assert others.refused == [], "too long"


def test_opsgenie_has_the_note_and_the_key_where_it_closes(others: Everybody) -> None:
    tell(sender("opsgenie://${KEY}?region=eu", KEY), Said(Told.RESOLVED, alert()))
    (request,) = others.to("api.eu.opsgenie.com")
    assert set(request.body) == {"note"}
    assert "it was 50.0 % at worst" in request.body["note"]
    assert request.headers["Authorization"] == "GenieKey a1b2c3d4-aaaa-bbbb-cccc-000011112222"


def test_a_key_that_the_url_names_itself_counts(others: Everybody) -> None:
    tell(sender(f"{PD}?action=trigger&dedup=mine", PD_KEYS), Said(Told.RESOLVED, alert()))
    assert others.incidents(PAGERDUTY) == {"mine": True}


def test_what_is_longer_than_a_service_takes_goes_in_parts(others: Everybody) -> None:
    tell(sender("discord://${ID}/${TOKEN}", {"ID": "4174216298", "TOKEN": "JHMHI8qBe7bk2ZwO5U711o3dV"}), *opened(20))
    assert len(others.to("discord.com")) > 1
    text = "".join(str(request.body) for request in others.to("discord.com"))
    assert all(f"agent agent-{number}," in text for number in range(20))


def test_a_mail_goes_over_starttls_with_a_password(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with mail_server(tmp_path) as mails:
        monkeypatch.setenv("SSL_CERT_FILE", str(mails.bundle))
        url = f"mailtos://{mails.USER}:${{PASSWORD}}@127.0.0.1:{mails.port}?from=a@example.com&to=o@example.com&mode=starttls"
        with pytest.raises(ChannelError) as caught:
            tell(sender(url, {"PASSWORD": "a-wrong-one"}), *TWO)
        assert "a-wrong-one" not in str(caught.value)
        assert mails.got == []
        tell(sender(url, {"PASSWORD": Mails.PASSWORD}), *TWO)
    (mail,) = mails.got
    assert (mail["subject"], mail["to"]) == ("errors: 2 firing", "o@example.com")
    body = mail.get_body(("plain",))
    assert body is not None
    text = body.get_content()
    assert [part for part in PARTS[1:] if part not in text] == []


@pytest.mark.parametrize(
    ("url", "variables"),
    [
        ("slack://T1JJ3T3L2/A1BRTD4JD/TIiajkdnlazkcOXrIdevi7FQ", {}),
        ("https://hooks.slack.com/services/T1JJ3T3L2/A1BRTD4JD/TIiajkdnlazkcOXrIdevi7FQ", {}),
        (f"pagerduty://{'R' * 32}@${{PD_KEY}}", PD_KEYS),
        ("opsgenie://a1b2c3d4-aaaa-bbbb-cccc-000011112222", {}),
        ("mailtos://me:hunter%2F2@mail.example?to=ops@example.com", {}),
        ("jsons://me:hunter2@hooks.example/", {}),
    ],
)
def test_a_secret_in_the_file_is_told(url: str, variables: dict[str, str]) -> None:
    assert sender(url, variables).has_secret_in_file
    with pytest.raises(ChannelError, match=r"its url holds a secret; write \$\{NAME\} in place of it"):
        sender(url, variables).check()


@pytest.mark.parametrize(
    ("url", "variables"),
    [
        ("slack://${SLACK_TOKENS}/#alerts", SLACK),
        (f"{PD}/planner/agents", PD_KEYS),
        (TEAMS, {"TEAMS_FLOW": "5d8ff3d3b0", "TEAMS_SIGNATURE": "mmR-KdMEKz3"}),
        ("mailtos://me:${PASSWORD}@mail.example?to=ops@example.com", {"PASSWORD": "hunter/2"}),
        ("mailto://mail.example?from=me@example.com&to=ops@example.com", {}),
        ("jsons://hooks.example/alerts", {}),
        ("${HOOK}", {"HOOK": "jsons://user:hunter2-hunter2@hooks.example/alerts/abcdef0123"}),
    ],
)
def test_secrets_in_the_environment_are_right(url: str, variables: dict[str, str]) -> None:
    sender(url, variables).check()


@pytest.mark.parametrize(
    ("url", "variables", "secret"),
    [
        ("slack://${SLACK_TOKENS}", SLACK, "TIiajkdnlazkcOXrIdevi7FQ"),
        ("${HOOK}", {"HOOK": "jsons://user:hunter2-hunter2@hooks.example/alerts/abcdef0123"}, "hunter2-hunter2"),
        ("jsons://me:${PASSWORD}@hooks.example/", {"PASSWORD": "a/b@c:d-e-f"}, "a/b@c:d-e-f"),
        ("slack://${SLACK_TOKENS}", {"SLACK_TOKENS": "no-such-tokens-as-these"}, "no-such-tokens-as-these"),
        ("nothing://${TOKEN}", {"TOKEN": "a-token-of-nobody"}, "a-token-of-nobody"),
        ("${HOOK}", {"HOOK": "a-token-of-nobody"}, "a-token-of-nobody"),
        ("slack://no-such-tokens-as-these", {}, "no-such-tokens-as-these"),
        ("slack://T1JJ3T3L2/A1BRTD4JD/TIiajkdnlazkcOXrIdevi7FQ", {}, "TIiajkdnlazkcOXrIdevi7FQ"),
        ("opsgenie://${KEY}", {"KEY": "a1b2c3d4-aaaa-bbbb-cccc-000011112222"}, "a1b2c3d4-aaaa-bbbb-cccc-000011112222"),
    ],
)
def test_a_failure_says_why_and_no_secret(
    others: Everybody, url: str, variables: dict[str, str], secret: str, capfd: pytest.CaptureFixture[str]
) -> None:  # fmt: skip
    others.down |= {"hooks.slack.com", "hooks.example", OPSGENIE}
    logging.getLogger("apprise").setLevel(logging.DEBUG)
    everywhere = logging.StreamHandler(io.StringIO())  # caplog hears also what does not get to the root
    logging.getLogger().addHandler(everywhere)
    with pytest.raises(ChannelError) as caught:
        sender(url, variables).send("title", "body", "failure", "errors")
    said = str(caught.value)
    assert said
    logging.getLogger().removeHandler(everywhere)
    heard = everywhere.stream.getvalue() + "".join(capfd.readouterr())
    for part in (secret, *secret.split("/")):
        assert len(part) < 4 or part not in said + heard
    assert caught.value.__cause__ is None


def test_what_stands_for_a_down_service_is_said(others: Everybody) -> None:
    others.down.add("hooks.slack.com")
    with pytest.raises(ChannelError, match="503"):
        sender("slack://${SLACK_TOKENS}", SLACK).send("title", "body", "failure", "errors")


def test_a_password_may_hold_anything(others: Everybody) -> None:
    sender("jsons://me:${PASSWORD}@hooks.example/", {"PASSWORD": "a/b@c:d e"}).send("title", "body", "info", "errors")
    assert others.to("hooks.example")[0].path == "/"


def test_a_variable_that_is_missing_is_named() -> None:
    channel = Channel(name="team", url="slack://${ONE}/${TWO}")
    assert missing_variables(channel, {"ONE": "x"}) == ["TWO"]
    with pytest.raises(ChannelError, match="TWO is not in the environment"):
        Sender(channel, {"ONE": "x"}).check()


def test_the_mood_is_success_only_where_nothing_of_the_rule_is_open() -> None:
    opened, over, unknown = (Said(told, alert()) for told in (Told.OPENED, Told.RESOLVED, Told.EXPIRED))
    critical = Said(Told.OPENED, alert(severity="critical"))
    assert mood_of([over], still_open=0) == "success"
    assert mood_of([over], still_open=2) == "warning"
    assert mood_of([opened, over], still_open=0) == "warning"
    assert mood_of([critical], still_open=0) == "failure"
    assert mood_of([unknown, over], still_open=0) == "warning", "what nobody knows to be over is not closed"


@pytest.mark.parametrize(
    ("rule", "value", "usual", "said"),
    [
        (RULE, 0.42, 0.03, "42.0 % since 2026-03-02 09:05Z, of 120; usual is 3.0 %, so 14 times as much"),
        (RULE, 0.42, 0.28, "42.0 % since 2026-03-02 09:05Z, of 120; usual is 28.0 %, so 1.5 times as much"),
        (RULE, 0.42, 0.42, "42.0 % since 2026-03-02 09:05Z, of 120; usual is 42.0 %"),
        (RULE, 0.42, None, "42.0 % since 2026-03-02 09:05Z, of 120"),
        (Rule(name="quality", kind="quality"), 0.6, 0.8, "0.60 since 2026-03-02 09:05Z, of 120; usual is 0.80, so 25 % less"),
        (Rule(name="slow", kind="latency"), 4_200, 300, "4.2 s since 2026-03-02 09:05Z, of 120; usual is 300 ms, so 14 times as much"),
    ],
)  # fmt: skip
def test_how_much_worse_it_is(rule: Rule, value: float, usual: float | None, said: str) -> None:
    text = body_of(rule, Options(), [Said(Told.OPENED, alert(value=value, usual=usual))])
    assert text.splitlines()[1].strip() == said


def test_what_agents_call_themselves_forges_nothing() -> None:
    said = [Said(Told.OPENED, alert("a\n\nresolved: \x1b[2Jall", run_id="a b; rm -rf /"))]
    text = body_of(RULE, Options(link="https://traces.example/{run_id}"), said)
    assert text.startswith("firing: tenant acme, agent a  resolved:  [2Jall, action plan\n")
    assert "otel-feedback trace 'a b; rm -rf /'\n" in text
    assert text.endswith("https://traces.example/a%20b%3B%20rm%20-rf%20%2F")


def test_a_message_of_many_describes_the_first_and_names_the_others() -> None:
    said = [Said(Told.OPENED, alert(f"agent-{number}", since=AT + timedelta(minutes=number))) for number in range(50)]
    body = body_of(RULE, Options(), said)
    assert body.count("otel-feedback trace") == 20
    for number in range(50):
        assert f"firing: tenant acme, agent agent-{number}, action plan" in body

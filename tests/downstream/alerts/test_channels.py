"""Channels: what Slack, PagerDuty, a webhook and a mail server are sent by the real Apprise, and what nobody gets to see."""

from __future__ import annotations

import io
import logging
from datetime import datetime, timedelta, timezone

import pytest

from otel_feedback.downstream.alerts.advancing import Said
from otel_feedback.downstream.alerts.channels import ChannelError, Sender, missing_variables
from otel_feedback.downstream.alerts.machine import Alert, Phase, Told
from otel_feedback.downstream.alerts.messages import body_of, mood_of, title_of
from otel_feedback.downstream.alerts.observing import Key
from otel_feedback.downstream.alerts.rules import Channel, Options, Rule
from tests.downstream.alerts.standins import Everybody, mail_server

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


def test_slack_is_told_what_since_when_how_much_worse_and_an_example(others: Everybody) -> None:
    said = [Said(Told.OPENED, alert()), Said(Told.OPENED, alert("writer", usual=None))]
    options = Options(link="https://traces.example/{run_id}")
    sender("slack://${SLACK_TOKENS}", SLACK).send(
        title_of("errors", RULE, said), body_of(RULE, options, said), mood_of(said, still_open=0), "errors"
    )
    (request,) = others.to("hooks.slack.com")
    assert request.path == "/services/T1JJ3T3L2/A1BRTD4JD/TIiajkdnlazkcOXrIdevi7FQ"
    text = str(request.body)
    for part in (
        "errors: 2 firing", "tenant acme, agent planner, action plan", "42.0% since 2026-03-02 09:05Z, of 120",
        "usual is 3.0%, so 14 times as much", "agent writer", "otel-feedback trace run-7", "https://traces.example/run-7",
    ):  # fmt: skip
        assert part in text


def test_pagerduty_closes_what_it_opened(others: Everybody) -> None:
    to = sender("pagerduty://${PD_ROUTE}@${PD_KEY}", {"PD_ROUTE": "R" * 32, "PD_KEY": "K" * 20})
    to.send("firing: errors", "it is bad", "failure", "otel-feedback/errors")
    to.send("still", "it is bad", "warning", "otel-feedback/errors")
    to.send("resolved: errors", "it is over", "success", "otel-feedback/errors")
    requests = [request.body for request in others.to("events.pagerduty.com")]
    assert [body["event_action"] for body in requests] == ["trigger", "trigger", "resolve"]
    assert {body["dedup_key"] for body in requests} == {"otel-feedback/errors"}
    assert {body["routing_key"] for body in requests} == {"R" * 32}
    assert "it is bad" in requests[0]["payload"]["summary"]


def test_a_webhook_and_a_mail(others: Everybody) -> None:
    sender("jsons://hooks.example/alerts").send("firing: errors", "it is bad", "warning", "errors")
    (request,) = others.to("hooks.example")
    assert (request.body["title"], request.body["message"], request.body["type"]) == (
        "firing: errors",
        "it is bad",
        "warning",
    )
    with mail_server() as (port, mails):
        to = sender(f"mailto://127.0.0.1:{port}?from=alerts@example.com&to=ops@example.com&mode=insecure")
        to.send("firing: errors", "it is bad", "warning", "errors")
    (mail,) = mails
    assert (mail["subject"], mail["to"]) == ("firing: errors", "ops@example.com")
    body = mail.get_body(("plain", "html"))
    assert body is not None
    assert "it is bad" in body.get_content()


@pytest.mark.parametrize(
    ("url", "variables", "secret"),
    [
        ("slack://${SLACK_TOKENS}", SLACK, "TIiajkdnlazkcOXrIdevi7FQ"),
        ("${HOOK}", {"HOOK": "jsons://user:hunter2-hunter2@hooks.example/alerts/abcdef0123"}, "hunter2-hunter2"),
        ("jsons://me:${PASSWORD}@hooks.example/", {"PASSWORD": "a/b@c:d-e-f"}, "a/b@c:d-e-f"),
        ("slack://${SLACK_TOKENS}", {"SLACK_TOKENS": "no-such-tokens-as-these"}, "no-such-tokens-as-these"),
        ("nothing://${TOKEN}", {"TOKEN": "a-token-of-nobody"}, "a-token-of-nobody"),
    ],
)
def test_a_failure_says_why_and_no_secret(
    others: Everybody, url: str, variables: dict[str, str], secret: str, capfd: pytest.CaptureFixture[str]
) -> None:  # fmt: skip
    others.down |= {"hooks.slack.com", "hooks.example"}
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


def test_a_message_of_many_describes_the_first_and_names_the_others() -> None:
    said = [Said(Told.OPENED, alert(f"agent-{number}", since=AT + timedelta(minutes=number))) for number in range(50)]
    body = body_of(RULE, Options(), said)
    assert body.count("otel-feedback trace") == 20
    for number in range(50):
        assert f"firing: tenant acme, agent agent-{number}, action plan" in body

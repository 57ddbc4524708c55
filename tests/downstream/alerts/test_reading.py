"""`alerts.toml`: the defaults, and each mistake with its line, field, value and what would be right."""

from __future__ import annotations

from pathlib import Path

import pytest

from otel_feedback.downstream.alerts.reading import RulesError, parse, read
from otel_feedback.downstream.alerts.rules import KINDS


def test_the_defaults_have_a_rule_of_each_kind_but_sql() -> None:
    told = read(None)
    assert [rule.kind for rule in told.rules] == [kind for kind in KINDS if kind != "sql"]
    assert told.channels == ()
    assert (told.settings.recent, told.settings.expire_after) == (900, 86_400)


def test_a_rule_says_what_differs_from_its_kind() -> None:
    told = parse(
        """
        [settings]
        link = "https://traces.example/{run_id}"
        [[channel]]
        name = "team"
        url = "slack://${SLACK_TOKENS}"
        [[rule]]
        name = "refunds"
        kind = "errors"
        above = 0.05
        for = "5m"
        by = ["agent"]
        agent = "refund-*"
        channels = "team"
        [[rule]]
        name = "dear"
        kind = "cost"
        above = 20
        """
    )
    refunds, dear = told.rules
    assert (refunds.above, refunds.for_, refunds.by, refunds.agent) == (0.05, 300, ("agent",), ("refund-*",))
    assert refunds.channels == ("team",)
    assert (dear.above, dear.rise, dear.window, dear.by) == (20, None, 3_600, ("tenant",)), "its condition is all"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('[[rule]]\nname = "a"\nkind = "error"', "line 3: rule.kind: 'error'; did you mean 'errors'?"),
        ('[[rule]]\nname = "a"\nkind = "errors"\nabov = 1', "line 4: rule.abov: there is no such field; did you mean above?"),
        ('[[rule]]\nname = "a"\nkind = "errors"\nabove = "10%"', "line 4: rule.above: '10%'; use a number"),
        ('[[rule]]\nname = "a"\nkind = "errors"\nabove = 10', "line 4: rule.above: 10; use a share from 0 to 1: 10 % are 0.10"),
        ('[[rule]]\nname = "a"\nkind = "errors"\nfor = 5', "line 4: rule.for: 5; use a text such as 90s, 5m, 2h or 7d"),
        ('[[rule]]\nkind = "errors"', "line 1: rule.name: is missing; add name = …"),
        ('[[rule]]\nname = "a"\nabove = 1', "line 1: rule.kind: is missing; add kind = …, one of errors, latency, cost, "),
        ('[[channel]]\nname = "a"', "line 1: channel.url: is missing; add url = …, one of Apprise, such as "),
        ('[[rule]]\nname = "a"\nkind = "sql"\nabove = 1', 'line 1: rule.sql: is missing; add sql = """SELECT …"""'),
        ('[[rule]]\nname = "a"\nkind = "latency"\nrise = 0.5', "line 4: rule.rise: 0.5; use a number above 1, such as 3"),
        ('[[rule]]\nname = "a"\nkind = "silent"\nby = ["tenant"]', "line 4: rule.by: ['tenant']; use some of ['agent']"),
        ('[[rule]]\nname = "a"\nkind = "errors"\nwindow = "7m"', "line 4: rule.window: '7m'; use at most 5m, or a multiple of it"),
        ('[rule]\nname = "a"', "line 1: rule: is one table; write [[rule]], with two brackets"),
        ('[[rules]]\nname = "a"', "line 1: rules: there is no such table; did you mean rule?"),
        ("[settings]\nevery = '1m'\nrecent = '10s'", "line 3: settings.recent: is too little; use at least 60"),
        ('[[channel]]\nname = "a"\nurl = "example"', "line 3: channel.url: is no URL; use one of Apprise"),
        ("[settings\n", "line 1: TOML: "),
        ('[[rule]]\nname = "a"\nkind = "errors"\nchannels = ["tem"]\n[[channel]]\nname = "team"\nurl = "json://h"',
         "line 4: rule.channels: there is no channel 'tem'; did you mean 'team'?"),
        ('[[rule]]\nname = "a"\nkind = "errors"\n[[rule]]\nname = "a"\nkind = "errors"',
         "line 5: rule.name: 'a' is there already; give it another name"),
        ('[[rule]]\nname = "a"\nkind = "sql"\nsql = """\nabove = 3\nSELECT 1"""\nabove = "x"', "line 7: rule.above: 'x'; use a number"),
        ('[[rule]]\nname = "a"\nkind = "losing"\nagent = "x"', "line 4: rule.agent: means nothing to kind losing; remove it: it is of errors, "),
        ('[[rule]]\nname = "a"\nkind = "losing"\nby = ["agent"]', "line 4: rule.by: ['agent']; remove it: all are told together"),
        ('[[rule]]\nname = "a"\nkind = "errors"\noverdue = "1h"', "line 4: rule.overdue: means nothing to kind errors; remove it: it is of stuck"),
        ('[[rule]]\nname = "a"\nkind = "dead letters"', "line 3: rule.kind: 'dead letters'; did you mean 'dead_letters'?"),
        ('[[rule]]\nname = "a"\nkind = "silent"\nbelow = 0', "line 4: rule.below: 0 is never so; use more than 0"),
        ('[[rule]]\nname = "a"\nkind = "cost"\nabove = -1', "line 4: rule.above: -1 is always so; use 0 or more"),
        ('[[rule]]\nname = "a"\nkind = "cost"\nabove = nan', "line 4: rule.above: nan; use a number"),
        ('[[rule]]\nname = "a"\nkind = "silent"\ncompare = "90m"', "line 4: rule.compare: 90m; use whole days, such as 7d"),
        ('[[rule]]\nname = "a"\nkind = "latency"\ncompare = "10m"',
         "line 4: rule.compare: nobody would know what was usual; use a compare of at least 6 windows"),
        ('[[rule]]\nname = "a"\nkind = "stuck"\noverdue = "48h"', "line 4: rule.overdue: nothing would be seen that is so old; use less"),
        ('[[rule]]\nname = "a"\nkind = "errors"\nremind = "1s"', "line 4: rule.remind: 1s; use at least 1m"),
        ('[settings]\nlink = "https://traces.example"', "line 2: settings.link: https://traces.example; use a text with {run_id}"),
        ('[settings]\nrecent = "5m"', "line 2: settings.recent: some windows would never be looked at; use at least 390s: 5m, settle and every"),
    ],
)  # fmt: skip
def test_a_mistake_has_its_line_and_what_would_be_right(text: str, said: str) -> None:
    with pytest.raises(RulesError) as caught:
        parse(text)
    assert str(caught.value.problems[0]).startswith(said)


def test_all_mistakes_are_said_at_once_in_their_order() -> None:
    with pytest.raises(RulesError) as caught:
        parse('[[rule]]\nname = "a"\nkind = "errors"\nabove = "x"\nfor = 1\n[[channel]]\nname = 3\nurl = "json://h"')
    assert [problem.line for problem in caught.value.problems] == [4, 5, 7]


def test_no_url_is_in_a_message() -> None:
    for url in ('"hooks.example-secret"', '["slack://secret"]', "5"):
        with pytest.raises(RulesError) as caught:
            parse(f'[[channel]]\nname = "a"\nurl = {url}')
        assert "secret" not in str(caught.value)


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(RulesError, match="No such file"):
        read(tmp_path / "alerts.toml")

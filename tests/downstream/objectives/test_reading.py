"""`slo.toml`: what it says where it says little, and each mistake with its line, field, value and what would be right."""

from __future__ import annotations

from pathlib import Path

import pytest

from otel_feedback.downstream.objectives.reading import ObjectivesError, check_channels, parse, read


def test_a_few_lines_are_an_objective() -> None:
    (told,) = parse('[[objective]]\nname = "answers"\nkind = "success"\ntarget = 0.95')
    assert (told.days, told.by, told.agent, told.allowance, told.least, told.told) == (
        30,
        ("agent",),
        ("*",),
        0.05,
        20,
        "budget",
    )


@pytest.mark.parametrize(
    ("target", "least", "told", "burns"),
    [
        (0.5, 2, "budget", 0),
        (0.93, 15, "budget", 0),
        (0.95, 20, "budget", 0),
        (0.99, 100, "burn", 3),
        (0.995, 200, "burn", 3),
    ],
)
def test_burn_rates_are_of_high_targets(target: float, least: int, told: str, burns: int) -> None:
    (objective,) = parse(f'[[objective]]\nname = "a"\nkind = "success"\ntarget = {target}')
    assert (objective.least, objective.told, len(objective.burns)) == (least, told, burns)


def test_no_burn_rate_looks_back_further_than_the_period() -> None:
    (objective,) = parse('[[objective]]\nname = "a"\nkind = "success"\ntarget = 0.99\nperiod = "1d"')
    assert [burn.name for burn in objective.burns] == ["burn-1h", "burn-6h"]


HEAD = '[[objective]]\nname = "a"\n'
OF = f'{HEAD}kind = "success"\n'


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "objective: there is none; write [[objective]], and its fields below it"),
        ('[objective]\nname = "a"', "line 1: objective: is one table; write [[objective]], with two brackets"),
        ('[[objectives]]\nname = "a"', "line 1: objectives: there is no such table; did you mean objective?"),
        (f"{HEAD}target = 0.9", "line 1: objective.kind: is missing; add kind = …, one of success, latency, cost, quality"),
        (OF, "line 1: objective.target: is missing; add target = …, a share such as 0.95"),
        (f'{HEAD}kind = "sucess"\ntarget = 0.9', "line 3: objective.kind: 'sucess'; use one of success, latency, cost, quality"),
        (f"{OF}target = 95", "line 4: objective.target: 95; use a share such as 0.95"),
        (f"{OF}target = 1", "line 4: objective.target: 1; use a share above 0 and below 1: 95 % are 0.95, and 1 leaves no budget"),
        (f'{OF}target = 0.9\nperoid = "7d"', "line 5: objective.peroid: there is no such field; did you mean period?"),
        (f'{OF}target = 0.9\nperiod = "12h"', "line 5: objective.period: '12h'; use whole days, from 1d to 366d"),
        (f"{OF}target = 0.9\nperiod = 30", "line 5: objective.period: 30; use a text such as 90s, 5m, 2h or 7d"),
        (f'{HEAD}kind = "latency"\ntarget = 0.9', "line 1: objective.threshold_ms: is missing; say what is good: threshold_ms = …"),
        (f"{OF}target = 0.9\nthreshold_ms = 100", "line 5: objective.threshold_ms: is of kind latency only; remove it"),
        (f'{HEAD}kind = "quality"\ntarget = 0.9\nthreshold_score = 7', "line 5: objective.threshold_score: 7; use a share from 0 to 1"),
        (f'{OF}target = 0.9\nwindow = "1h"', "line 5: objective.window: is of kind cost only; remove it"),
        (f'{HEAD}kind = "cost"\ntarget = 0.9\nthreshold_usd = 1\nwindow = "7m"',
         "line 6: objective.window: '7m'; use a multiple of 5m, up to 1d"),
        (f'{HEAD}kind = "cost"\ntarget = 0.99\nthreshold_usd = 1\nwindow = "12h"',
         "line 6: objective.window: '12h', of which 30d have fewer than the 100 that are needed; use a shorter one, or a lower"),
        (f'{OF}target = 0.9\nby = "agents"', "line 5: objective.by: ['agents']; use some of [\"tenant\", \"agent\", \"action\"], or []"),
        (f"{OF}target = 0.9\nmin_count = 0", "line 5: objective.min_count: is too little; use at least 1"),
        (f'{OF}target = 0.9\nalerts = "burn"',
         "line 5: objective.alerts: 'burn': burn rates can never fire: 14.4 times its budget of 0.1 is more than all actions; use \"budget\""),
        (f'{OF}target = 0.95\nalerts = "burn"',
         "line 5: objective.alerts: 'burn': burn rates are for targets of 0.99 and more: here they would fire when 72 % are bad; use"),
        (f'{HEAD}kind = "cost"\ntarget = 0.99\nthreshold_usd = 1\nwindow = "1h"\nalerts = "burn"',
         "line 7: objective.alerts: 'burn': windows are too few for burn rates; use \"budget\""),
        (f"{OF}target = 0.9\n{OF}target = 0.9", "line 6: objective.name: 'a' is there already; give it another name"),
        ('[[objective]]\nname = "a b"\nkind = "success"\ntarget = 0.9', "line 2: objective.name: 'a b'; use letters, digits and . - _"),
        ("[[objective\n", "line 1: TOML: "),
    ],
)  # fmt: skip
def test_a_mistake_has_its_line_and_what_would_be_right(text: str, said: str) -> None:
    with pytest.raises(ObjectivesError) as caught:
        parse(text)
    assert str(caught.value.problems[0]).startswith(said)


def test_a_burn_rate_below_93_percent_can_never_fire() -> None:
    """14.4 times a budget of 6.94 % is all there is; the border is where it says."""
    assert "can never fire" in str(parse(f"{OF}target = 0.93")[0].unburnable)
    assert "would fire when 99 %" in str(parse(f"{OF}target = 0.931")[0].unburnable)
    assert parse(f"{OF}target = 0.99")[0].unburnable is None


def test_a_file_that_is_not_there_is_said(tmp_path: Path) -> None:
    with pytest.raises(ObjectivesError, match="No such file"):
        read(tmp_path / "slo.toml")


def test_a_channel_that_is_not_in_the_file_of_alerts_is_said() -> None:
    objectives = parse(f'{OF}target = 0.9\nchannels = "tem"')
    check_channels(objectives, ["tem"], "slo.toml")
    with pytest.raises(ObjectivesError, match=r"no channel 'tem' in alerts\.toml"):
        check_channels(objectives, ["team"], "slo.toml")

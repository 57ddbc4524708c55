"""Rules as PromQL on the metrics that the collector exports; each is recorded, so that what it was is known later.

    rule ──► otel_feedback:alert_value{rule=…}, otel_feedback:alert_count{rule=…} ──► alert: value, doubt, traffic

Pure. What has no metric has no expression: `Unsaid` says why.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from otel_feedback.downstream.alerts.observing import CHANCE
from otel_feedback.downstream.alerts.rules import WINDOWS_BEFORE, Options, Rule
from otel_feedback.downstream.objectives.alerting import ObjectiveRule

__all__ = ["Expressions", "Unsaid", "expressions_of", "length"]

VALUE, COUNT = "otel_feedback:alert_value", "otel_feedback:alert_count"
_REASONS = {
    "stuck": "no metric counts what began and did not end",
    "silent": "Prometheus does not know at which hour an agent is to be seen",
    "missing": "no metric has the numbers that producers give their events",
    "dead_letters": "no metric counts them",
    "sql": "SQL on the events is no PromQL on metrics",
}


class Unsaid(Exception):  # noqa: N818  # it is no mistake
    """A rule that Prometheus cannot have; the message says why."""


class Expressions(NamedTuple):
    """What is recorded, by metric, and when to tell somebody."""

    recorded: Mapping[str, str]
    alert: str
    labels: tuple[str, ...]
    meaning: str
    lacks: str | None = None
    """What of it Prometheus does not see."""


def expressions_of(rule: Rule, options: Options) -> Expressions:
    """Return a rule as PromQL.

    Raises:
        Unsaid: It cannot be said so.
    """
    if isinstance(rule, ObjectiveRule):
        return _burning(rule)
    if rule.kind in _REASONS:
        raise Unsaid(_REASONS[rule.kind])
    if rule.kind == "losing":
        return _losing(rule)
    if rule.kind == "behind":
        return _behind(rule)
    value, count = _measured(rule)
    return Expressions(
        {VALUE: value, COUNT: count}, "\nand ".join(_conditions(rule, options)), rule.by, rule.measures.meaning
    )


def length(seconds: float) -> str:
    """Return seconds as Prometheus has them."""
    whole_s = round(seconds)
    for unit, long_s in (("h", 3_600), ("m", 60)):
        if whole_s and whole_s % long_s == 0:
            return f"{whole_s // long_s}{unit}"
    return f"{whole_s}s" if whole_s or not seconds else f"{round(seconds * 1e3)}ms"


def _measured(rule: Rule) -> tuple[str, str]:
    """Return what a rule measures, and of how many."""
    by, within = f"sum by ({', '.join(rule.by)})", f"[{length(rule.window)}]"
    outcomes = f"{by} (increase(agent_outcomes_total{_chosen(rule)}{within}))"
    if rule.kind == "errors":
        failed = _chosen(rule, 'status=~"failure|timeout"')
        return f"{by} (increase(agent_outcomes_total{failed}{within}))\n/ {outcomes}", outcomes
    if rule.kind == "latency":
        of_buckets = f"sum by ({', '.join((*rule.by, 'le'))})"
        took = f"agent_outcome_duration_seconds_bucket{_chosen(rule)}"
        # in ms, as in the file
        return f"1000 * histogram_quantile({rule.percentile:g}, {of_buckets} (rate({took}{within})))", outcomes
    if rule.kind == "cost":
        return f"{by} (increase(agent_outcome_cost_total{_chosen(rule)}{within}))", outcomes
    scores, given = (
        f"{by} (increase(agent_outcome_quality_{part}{_chosen(rule)}{within}))" for part in ("sum", "count")
    )
    return f"{scores}\n/ {given}", given


def _conditions(rule: Rule, options: Options) -> list[str]:
    value, count = (f"{metric}{{rule={_quoted(rule.name)}}}" for metric in (VALUE, COUNT))
    said: list[str] = []
    if rule.above is not None:
        said.append(f"{value} > {rule.above:g}")
        if rule.kind == "errors" and not rule.by_chance:
            said.append(f"{_at_least(value, count)} > {rule.above:g}")
    if rule.below is not None:
        said.append(f"{value} < {rule.below:g}")
    if rule.rise is not None or rule.drop is not None:
        span = f"[{length(rule.compare)}] offset {length(rule.window + options.recent)}"
        typical = "avg_over_time(" if rule.kind in ("errors", "quality") else "quantile_over_time(0.5, "
        usual = f"{typical}{value}{span})"
        if rule.rise is not None:
            said.append(f"{value} > {rule.rise:g} * {usual}")
        if rule.drop is not None:
            said.append(f"{value} < {1 - rule.drop:g} * {usual}")
        known = max(1, round(WINDOWS_BEFORE * rule.window / options.every))
        said.append(f"count_over_time({value}{span}) >= {known}")
    if rule.min_count > 0:
        said.append(f"{count} >= {rule.min_count}")
    return said


def _at_least(value: str, count: str) -> str:
    """Return what a share is at least, whatever chance did: Wilson's lower bound, as for the events."""
    z = CHANCE
    return (
        f"(({value} + {z**2 / 2:g} / {count}\n"
        f"  - {z:g} * sqrt({value} * (1 - {value}) / {count} + {z**2 / 4:g} / {count} ^ 2))\n"
        f"  / (1 + {z**2:g} / {count}))"
    )


def _burning(rule: ObjectiveRule) -> Expressions:
    """Return how fast a budget burns over the long window; an alert needs the short one to agree."""
    objective = rule.objective
    if objective.kind != "success":
        raise Unsaid("no metric counts what is good by a threshold")
    if objective.told != "burn":
        raise Unsaid(f"a budget of {objective.days} days is of longer ago than Prometheus need know")
    by = f"sum by ({', '.join(rule.by)})"
    failed = "failure|timeout" + ("|partial" if objective.partial == "bad" else "")
    bad, all_of_it = _chosen(rule, f'status=~"{failed}"'), _chosen(rule, 'status!="cancelled"')

    def counted(chosen: str, seconds: float) -> str:
        return f"{by} (increase(agent_outcomes_total{chosen}[{length(seconds)}]))"

    long, short = (f"{counted(bad, each)}\n/ {counted(all_of_it, each)}" for each in (rule.window, rule.short_s))
    value, count = (f"{metric}{{rule={_quoted(rule.name)}}}" for metric in (VALUE, COUNT))
    share, limit = f"({value} * {objective.allowance:g})", f"{(rule.above or 0) * objective.allowance:g}"
    said = [f"{value} > {rule.above:g}", f"{_at_least(share, count)} > {limit}", f"{count} >= {rule.min_count}"]
    # the short window is not recorded, and has no label of the rule
    alert = "\nand ".join(said) + f"\nand on ({', '.join(rule.by)}) {short} > {limit}"
    recorded = {VALUE: f"{long}\n/ {objective.allowance:g}", COUNT: counted(all_of_it, rule.window)}
    return Expressions(recorded, alert, rule.by, "how fast the budget burns")


def _losing(rule: Rule) -> Expressions:
    lost = f"otel_feedback_events_lost_total{_labels({'job': rule.service, 'reason': rule.reason})}"
    # one that is lost for a new reason is a new series, of which increase() does not see the beginning
    value = f"sum by (job, exporter, reason) ({lost} - ({lost} offset {length(rule.window)} or {lost} * 0))"
    recorded = f"{VALUE}{{rule={_quoted(rule.name)}}}"
    return Expressions({VALUE: value}, _limits(recorded, rule), ("job", "exporter", "reason"), rule.measures.meaning)


def _behind(rule: Rule) -> Expressions:
    """Return how long what waits takes at the pace of the last minutes, while something has waited all the time."""
    chosen, by = _labels({"job": rule.service}), "sum by (job, exporter)"
    pending = f"{by} (otel_feedback_events_pending{chosen})"
    value = f"{pending}\n/ {by} (rate(otel_feedback_events_delivered_total{chosen}[5m]))"
    name = f"{{rule={_quoted(rule.name)}}}"
    waited = f"min_over_time({COUNT}{name}[{length(max(rule.above or 0, 60))}]) > 0"
    alert = f"{_limits(f'{VALUE}{name}', rule)}\nand {waited}"
    meaning = "how long what waits at producers takes, at the pace of the last minutes"
    lacks = "how far a store is behind, no metric says"
    return Expressions({VALUE: value, COUNT: pending}, alert, ("job", "exporter"), meaning, lacks)


def _limits(value: str, rule: Rule) -> str:
    above = [] if rule.above is None else [f"{value} > {rule.above:g}"]
    below = [] if rule.below is None else [f"{value} < {rule.below:g}"]
    return "\nand ".join([*above, *below])


def _chosen(rule: Rule, *more: str) -> str:
    return _labels({"tenant": rule.tenant, "agent": rule.agent, "action": rule.action, "job": rule.service}, *more)


def _labels(wanted: Mapping[str, Sequence[str]], *more: str) -> str:
    said = [f"{label}{_matching(patterns)}" for label, patterns in wanted.items() if "*" not in patterns]
    return "{" + ", ".join((*said, *more)) + "}" if said or more else ""


def _matching(patterns: Sequence[str]) -> str:
    if len(patterns) == 1 and not re.search(r"[*?\[]", patterns[0]):
        return f"={_quoted(patterns[0])}"
    return f"=~{_quoted('|'.join(map(_expression, patterns)))}"


def _expression(pattern: str) -> str:
    """Return a pattern such as `refund-*` as a regular expression."""
    parts = re.split(r"(\*|\?|\[!?[^\]]+\])", pattern)
    plain = {"*": ".*", "?": "."}
    return "".join(
        plain.get(part) or (part.replace("[!", "[^") if number % 2 else re.sub(r"([.+()|{}^$\\\[\]])", r"\\\1", part))
        for number, part in enumerate(parts)
        if part
    )


def _quoted(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)

"""A file of alerts as two of others: Prometheus' rules, and Alertmanager's routes and receivers; and what they cannot have.

No secret is in them: where a receiver needs one it names a file, which somebody has to write.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from otel_feedback.downstream.alerts.prometheus.expressions import Expressions, Unsaid, expressions_of, length
from otel_feedback.downstream.alerts.prometheus.receivers import Receiver, receiver_of
from otel_feedback.downstream.alerts.prometheus.yaml import text_of
from otel_feedback.downstream.alerts.rules import AlertFile, Rule

__all__ = ["MARK", "Written", "write"]

MARK = "Made by `otel-feedback alerts prometheus`"
NOBODY = "nobody"
NEVER_S = 120 * 3_600
"""How often what is open is said again that need not be: Alertmanager forgets what it said after so long."""
_SHOWN = {
    "share": "{{ $value | humanizePercentage }}", "ms": '{{ printf "%.0f" $value }} ms',
    "s": "{{ $value | humanizeDuration }}", "usd": '{{ printf "%.2f" $value }} USD', "score": '{{ printf "%.2f" $value }}',
    "budget": '{{ printf "%.1f" $value }} times the budget', "count": '{{ printf "%.0f" $value }}',
}  # fmt: skip


class Written(NamedTuple):
    """Both files; what they cannot have, as sentences; and which file is to hold which secret."""

    rules: str
    alertmanager: str
    unsaid: list[str]
    secrets: list[str]


def write(file: AlertFile, name: str, secrets: str) -> Written:
    """Return both files.

    Args:
        file: Rules and channels.
        name: How the file is called.
        secrets: The folder in which Alertmanager finds its secrets.
    """
    found: dict[str, Expressions] = {}
    unsaid: list[str] = []
    for rule in file.rules:
        try:
            said = found[rule.name] = expressions_of(rule, file.settings)
            if said.lacks is not None:
                unsaid.append(f"rule {rule.name} ({rule.kind}) is in Prometheus in part: {said.lacks}")
        except Unsaid as exc:
            unsaid.append(f"rule {rule.name} ({rule.kind}) is not in Prometheus: {exc}")
    receivers: list[Receiver] = []
    for channel in file.channels:
        try:
            receivers.append(receiver_of(channel, secrets))
        except Unsaid as exc:
            unsaid.append(f"channel {channel.name} is not in Alertmanager: {exc}")
    mark = f"{MARK} from {name}: change that, and make this anew."
    rules = [rule for rule in file.rules if rule.name in found]
    return Written(
        _rules(file, rules, found, [mark, *unsaid]), _routes(rules, receivers, [mark, *unsaid]), unsaid,
        [each.secret for each in receivers if each.secret is not None],
    )  # fmt: skip


def _rules(file: AlertFile, rules: Sequence[Rule], found: dict[str, Expressions], comments: list[str]) -> str:
    made: list[object] = []
    for rule in rules:
        said = found[rule.name]
        made += [
            {"record": metric, "expr": expression, "labels": {"rule": rule.name}}
            for metric, expression in said.recorded.items()
        ]
        of = ", ".join(f"{label} {{{{ $labels.{label} }}}}" for label in said.labels) or "all"
        made.append({
            "alert": rule.name, "expr": said.alert, "for": length(rule.for_), "keep_firing_for": length(rule.keep_firing_for),
            "labels": {"severity": rule.severity},
            "annotations": {
                "summary": f"{rule.name}: {of}",
                "description": f"{_SHOWN[rule.measures.unit]}: {said.meaning}",
            },
        })  # fmt: skip
    compared = any(rule.rise is not None or rule.drop is not None for rule in rules)
    later = ["What was usual is known once the recorded rules are as old as that."] if compared else []
    group: dict[str, object] = {"name": "otel-feedback", "interval": length(file.settings.every), "rules": made}
    return text_of({"groups": [group]}, [*comments, *later])


def _routes(rules: Sequence[Rule], receivers: Sequence[Receiver], comments: list[str]) -> str:
    routes: list[object] = []
    for receiver in receivers:
        wanted = [rule for rule in rules if "*" in rule.channels or receiver.name in rule.channels]
        for again_s in sorted({rule.remind or NEVER_S for rule in wanted}):
            names = "|".join(rule.name.replace(".", "[.]") for rule in wanted if (rule.remind or NEVER_S) == again_s)
            routes.append({
                "receiver": receiver.name, "matchers": [f'alertname=~"{names}"'], "continue": True,
                "repeat_interval": length(again_s),
            })  # fmt: skip
    route: dict[str, object] = {
        "receiver": NOBODY, "group_by": ["alertname"], "group_wait": "30s", "group_interval": "5m",
        **({"routes": routes} if routes else {}),
    }  # fmt: skip
    told: list[object] = [{"name": NOBODY}, *({"name": each.name, each.kind: [each.settings]} for each in receivers)]
    return text_of({"route": route, "receivers": told}, comments)

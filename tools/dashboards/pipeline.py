"""Pipeline: do the events arrive? What waits, what was lost, what stands in the way, and the collector on the way."""

from __future__ import annotations

from grafana_foundation_sdk.models.dashboard import Dashboard

from tools.dashboards import parts, whole
from tools.dashboards.parts import BAD, GOOD, WARNING, query

__all__ = ["dashboard"]

SERVICE = 'job=~"$service"'
CHOSEN = f'{SERVICE},exporter=~"$exporter"'
NO_PIPELINE = "No account: programs need a MeterProvider, and OTEL_EXPORTER_OTLP_ENDPOINT"
NONE_LOST = "None, as it should be"
NO_COLLECTOR = "The collector is not scraped: job otel-collector in prometheus.yaml"


def of(metric: str, chosen: str = CHOSEN) -> str:
    return f"otel_feedback_{metric}{{{chosen}}}"


def now(metric: str, chosen: str = CHOSEN) -> str:
    return f"rate({of(metric, chosen)}[$__rate_interval])"


def grown(metric: str, chosen: str = CHOSEN) -> str:
    return f"increase({of(metric, chosen)}[$__range])"


def of_collector(metric: str) -> str:
    """Return how much a counter of the collector's own grew by; only scraped as text it has the suffix."""
    return f'sum(rate({{__name__=~"otelcol_{metric}(_total)?"}}[$__rate_interval]))'


def dashboard() -> Dashboard:
    appended, delivered, lost, pending = (
        f"sum({of(name)})"
        for name in ("events_appended_total", "events_delivered_total", "events_lost_total", "events_pending")
    )
    unexplained = f"abs({appended} - {delivered} - {pending} - ({lost} or vector(0)))"
    any_is_bad = parts.steps((1, BAD))
    rows = {
        "At a glance": [
            parts.number(
                "Delivered", "short", "Events that a destination has acknowledged in this time.",
                f"sum({grown('events_delivered_total')})", nothing=NO_PIPELINE, decimals=0,
            ),
            parts.number(
                "Waiting", "short", "Events that wait for their destination now, in journals.", f"sum({of('events_pending')})",
                nothing=NO_PIPELINE, thresholds=parts.steps((1_000, WARNING), (100_000, BAD)),
            ),
            parts.number(
                "Lost", "short", "Events that a destination will not get, in this time. Below is why.",
                f"(sum({grown('events_lost_total')}) or 0 * {appended})", nothing=NO_PIPELINE, thresholds=any_is_bad, decimals=0,
            ),
            parts.number(
                "Not recorded", "short", "Outcomes that never came in, in this time. Below is why.",
                f"(sum({grown('events_not_recorded_total', SERVICE)}) or 0 * {appended})", nothing=NO_PIPELINE,
                thresholds=any_is_bad, decimals=0,
            ),
            parts.number(
                "In trouble", "short", "Destinations of programs to which delivery fails now.",
                f"sum(1 - {of('exporter_healthy')})", nothing=NO_PIPELINE, thresholds=any_is_bad, decimals=0,
            ),
            parts.number(
                "Unexplained", "short",
                "Of what was recorded, what is neither delivered nor waiting nor lost, for five minutes: 0, or a bug.",
                # the parts are read one after the other, so a moment's difference says nothing
                f"min_over_time(({unexplained})[5m:])", nothing=NO_PIPELINE, thresholds=any_is_bad, decimals=0,
            ),
        ],
        "On its way": [
            parts.series(
                "Events a second", "eps", "What was recorded for a destination, and what it acknowledged.",
                query(f"sum by (exporter) ({now('events_appended_total')})", "{{exporter}}: recorded"),
                query(f"sum by (exporter) ({now('events_delivered_total')})", "{{exporter}}: delivered", name="B"),
                nothing=NO_PIPELINE,
            ),
            parts.series(
                "Waiting, by destination", "short", "What grows is not delivered: see Destinations.",
                query(f"sum by (exporter) ({of('events_pending')})", "{{exporter}}"), nothing=NO_PIPELINE,
            ),
            parts.states(
                "Destinations", "Of each service; it fails where it does in one process or more.",
                f"min by (job, exporter) ({of('exporter_healthy')})", "{{exporter}} of {{job}}",
                {"0": ("fails", BAD), "1": ("delivers", GOOD)}, nothing=NO_PIPELINE,
            ),
            parts.series(
                "Lag", "s", "How long what waits now will take, at the pace of the moment. No line: nothing is delivered.",
                query(
                    f"sum by (exporter) ({of('events_pending')}) / (sum by (exporter) ({now('events_delivered_total')}) > 0)",
                    "{{exporter}}",
                ),
                nothing="Nothing is delivered now: see Waiting and Destinations",
            ),
        ],
        "What did not arrive": [
            parts.bars(
                "Lost a minute, by reason", "cpm",
                "Events that a destination will not get. Those that Kafka or the server refused are dead letters, and in the "
                "quarantine of the journal: otel-feedback journal replay.",
                query(f"60 * sum by (exporter, reason) ({now('events_lost_total')})", "{{exporter}}: {{reason}}"),
                nothing=NONE_LOST,
            ),
            parts.bars(
                "Not recorded a minute, by reason", "cpm", "Outcomes that are no events. Those that only metrics lack are.",
                query(f"60 * sum by (reason) ({now('events_not_recorded_total', SERVICE)})", "{{reason}}"),
                query(f"60 * sum by (reason) ({now('outcomes_unmeasured_total', SERVICE)})", "in metrics: {{reason}}", name="B"),
                nothing=NONE_LOST,
            ),
            parts.series(
                "Retries a minute", "cpm", "Tries that failed and are made again. Nothing is lost by that.",
                query(f"60 * sum by (exporter) ({now('exporter_retries_total')})", "{{exporter}}"), nothing=NO_PIPELINE,
            ),
            parts.series(
                "Dead letters and the account", "short", "What goes to Kafka's topics beside the outcomes.",
                query(f"sum({of('notices_pending', SERVICE)})", "waiting"),
                query(f"sum({grown('notices_sent_total', SERVICE)})", "sent in this time", name="B"),
                query(f"sum({grown('notices_lost_total', SERVICE)})", "lost in this time", name="C"),
                nothing="No program sends to Kafka: KAFKA_BOOTSTRAP_SERVERS",
            ),
        ],
        "In the programs": [
            parts.series(
                "Journals", "bytes", "What waits, and what will soon be removed. In memory it ends with its process.",
                query(f"sum by (job, kind) ({of('journal_size_bytes', SERVICE)})", "{{job}}, {{kind}}"), nothing=NO_PIPELINE,
            ),
            parts.series(
                "Actions under way", "short", "Those that journals on disk have noted: what dies is told as process_lost.",
                query(f"sum by (job) ({of('journal_open_actions', SERVICE)})", "{{job}}"), nothing=NO_PIPELINE,
            ),
        ],
        "Collector": [
            parts.series(
                "Taken in, a second", "cps", "By the collector, from all programs.",
                *(
                    query(of_collector(f"receiver_accepted_{what}"), legend, name=name)
                    for name, what, legend in (
                        ("A", "spans", "spans"), ("B", "metric_points", "metric points"), ("C", "log_records", "log records"),
                    )
                ),
                nothing=NO_COLLECTOR,
            ),
            parts.series(
                "Refused or not passed on, a second", "cps", "Refused: programs keep it. Not passed on: lost on the way.",
                *(
                    query(of_collector(what), legend, name=name)
                    for name, what, legend in (
                        ("A", "receiver_refused_spans", "spans refused"),
                        ("B", "receiver_refused_metric_points", "metric points refused"),
                        ("C", "receiver_refused_log_records", "log records refused"),
                        ("D", "exporter_send_failed_spans", "spans not passed on"),
                        ("E", "exporter_send_failed_log_records", "log records not passed on"),
                    )
                ),
                nothing=NONE_LOST,
            ),
        ],
    }  # fmt: skip
    variables = [
        whole.choice("service", "Service", of("events_appended_total", "").replace("{}", ""), "job"),
        whole.choice("exporter", "Destination", of("events_appended_total", SERVICE), "exporter"),
    ]
    return whole.dashboard(
        "pipeline",
        "Agents: pipeline",
        "Whether the events arrive: what waits, what was lost, and why.",
        variables,
        rows,
    )

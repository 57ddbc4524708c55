"""A channel as a receiver of Alertmanager: what its URL says of the service, and the file that is to hold its secret. Pure."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import NamedTuple
from urllib.parse import SplitResult, parse_qs, unquote, urlsplit

from otel_feedback.downstream.alerts.prometheus.expressions import Unsaid
from otel_feedback.downstream.alerts.rules import Channel

__all__ = ["Receiver", "receiver_of"]


class Receiver(NamedTuple):
    """One of Alertmanager's; `secret` says which file is to hold what, None where it needs none."""

    name: str
    kind: str
    settings: Mapping[str, object]
    secret: str | None


class _Service(NamedTuple):
    """How Alertmanager calls it, the field that names the file of its secret, and what that is."""

    kind: str
    field: str
    secret: str


_SERVICES: Mapping[str, _Service] = {
    "slack": _Service(
        "slack_configs", "api_url_file", "the URL of an incoming webhook, https://hooks.slack.com/services/…"
    ),
    "pagerduty": _Service("pagerduty_configs", "routing_key_file", "an integration key of Events API v2"),
    "opsgenie": _Service("opsgenie_configs", "api_key_file", "an API key"),
    **dict.fromkeys(
        ("workflows", "workflow", "msteams"), _Service("msteamsv2_configs", "webhook_url_file", "the URL of a workflow")
    ),
    **dict.fromkeys(
        ("json", "jsons"),
        _Service("webhook_configs", "url_file", "the URL, to which Alertmanager sends JSON of its own form"),
    ),
}
_MAIL = ("mailto", "mailtos")


def receiver_of(channel: Channel, secrets: str) -> Receiver:
    """Return a channel as a receiver.

    Args:
        channel: Of the file.
        secrets: The folder of the files that hold secrets.

    Raises:
        Unsaid: Alertmanager has no such service, or nobody knows which it is.
    """
    scheme, found, _ = channel.url.partition("://")
    scheme = scheme.strip().lower()
    if not found or not re.fullmatch("[a-z0-9]+", scheme):
        raise Unsaid("which service it is, is in the environment")
    file = f"{secrets.rstrip('/')}/{channel.name}"
    if scheme in _MAIL:
        return _mail(channel, urlsplit(channel.url.strip()), file)
    service = _SERVICES.get(scheme)
    if service is None:
        raise Unsaid(f"it knows no {scheme}://; `alerts run` does")
    settings: dict[str, object] = {service.field: file, "send_resolved": True}
    more = _MORE.get(scheme)
    settings |= {} if more is None else more(channel.url)
    return Receiver(channel.name, service.kind, settings, f"{file}: {service.secret} ({channel.name})")


def _slack(url: str) -> dict[str, object]:
    room = re.search(r"/(#[\w-]+)", unquote(url))
    return {} if room is None else {"channel": room[1]}


_MORE: Mapping[str, Callable[[str], dict[str, object]]] = {"slack": _slack}


def _mail(channel: Channel, url: SplitResult, file: str) -> Receiver:
    told = {name: values[-1] for name, values in parse_qs(url.query).items()}
    host, user = url.hostname or "", unquote(url.username or "")
    sender = told.get("from") or (user if "@" in user else f"{user}@{host}")
    to = told.get("to") or ",".join(unquote(part) for part in url.path.split("/") if part) or sender
    is_tls = url.scheme == "mailtos"
    server = f"{told.get('smtp', host)}:{url.port or (587 if is_tls else 25)}"
    if not host or not user or any("${" in text or "@" not in text for text in (sender, to)) or "${" in server:
        raise Unsaid("its addresses or its server are in the environment, of which Alertmanager knows nothing")
    settings: dict[str, object] = {"to": to, "from": sender, "smarthost": server, "send_resolved": True}
    if not is_tls:
        settings["require_tls"] = False
    if url.password is None:
        return Receiver(channel.name, "email_configs", settings, None)
    settings |= {"auth_username": told.get("user", user), "auth_password_file": file}
    return Receiver(
        channel.name, "email_configs", settings, f"{file}: the password of {told.get('user', user)} ({channel.name})"
    )

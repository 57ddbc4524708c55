"""A channel of `alerts.toml` as something that sends: its URL with the environment's secrets in it, and Apprise behind it.

Apprise is imported when the first notification is sent: it takes most of a second. It logs what it sends and where, so its
log is kept from everybody; of it comes only the reason of a failure, without what came from the environment. Safe from any
thread.
"""

from __future__ import annotations

import logging
import os
import re
import threading
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, Literal
from urllib.parse import quote

from otel_feedback.downstream.alerts.rules import Channel
from otel_feedback.errors import FeedbackError
from otel_feedback.redaction.scrubbing import scrub

__all__ = ["ChannelError", "Sender", "missing_variables"]

_VARIABLE = re.compile(r"\$\{([A-Za-z_]\w*)\}")
_PAIRED = {
    # what makes the end of an alert close what its beginning opened, by scheme of Apprise
    "pagerduty": "action=map&dedup={dedup}",
    "opsgenie": "action=map&alias={dedup}",
}
_NAMED_KEYS = re.compile(r"[?&](action|dedup|alias)=")

Mood = Literal["failure", "warning", "info", "success"]


class ChannelError(FeedbackError):
    """A notification was not taken; the message says why, without any secret."""


def missing_variables(channel: Channel, environ: Mapping[str, str] | None = None) -> list[str]:
    """Return the variables that a channel's URL names and the environment has not."""
    environment = os.environ if environ is None else environ
    return [name for name in _VARIABLE.findall(channel.url) if not environment.get(name)]


class Sender:
    """Sends to one channel.

    Args:
        channel: Which.
        environ: Where secrets are; default: the process's own.
    """

    def __init__(self, channel: Channel, environ: Mapping[str, str] | None = None) -> None:
        self._channel = channel
        self._environ = os.environ if environ is None else environ

    def check(self) -> None:
        """See that it could send.

        Raises:
            ChannelError: A variable is missing, Apprise is, or it knows no such URL.
        """
        self._made("check")

    def send(self, title: str, body: str, mood: Mood, dedup: str) -> None:
        """Send one notification, and wait until it was taken.

        Args:
            title: One line.
            body: Plain text.
            mood: `success` closes what one of the same `dedup` opened, where the service can.
            dedup: What belongs together.

        Raises:
            ChannelError: It was not taken.
        """
        target = self._made(dedup)
        import apprise

        with _heard() as said:
            try:
                is_sent = target.notify(
                    body=body, title=title, notify_type=apprise.NotifyType(mood), body_format=apprise.NotifyFormat.TEXT
                )
            except Exception as exc:  # of a plugin
                raise self._failure(f"{type(exc).__name__}: {exc}") from None
        if not is_sent:
            raise self._failure(said[-1] if said else "it was not taken, and nobody says why")

    def _made(self, dedup: str) -> Any:
        missing = missing_variables(self._channel, self._environ)
        if missing:
            raise ChannelError(f"{missing[0]} is not in the environment")
        _silence()
        try:
            import apprise
        except ImportError:
            raise ChannelError("Apprise is not installed: pip install 'otel-feedback[alerts]'") from None
        target = apprise.Apprise(asset=apprise.AppriseAsset(app_id="otel-feedback", app_desc="alerts of agents"))
        with _heard() as said:
            try:
                is_known = target.add(self._url(dedup))
            except Exception as exc:  # what a plugin thinks of a URL
                raise self._failure(f"{type(exc).__name__}: {exc}") from None
        if not is_known:
            raise self._failure(f"Apprise takes no such URL: {said[-1] if said else 'see appriseit.com/services'}")
        return target

    def _url(self, dedup: str) -> str:
        template = self._channel.url
        whole = _VARIABLE.fullmatch(template)
        url = self._environ[whole[1]].strip() if whole is not None else _VARIABLE.sub(self._part, template)
        paired = _PAIRED.get(url.partition("://")[0].lower())
        if paired is None or _NAMED_KEYS.search(url):
            return url
        return f"{url}{'&' if '?' in url else '?'}{paired.format(dedup=quote(dedup, safe=''))}"

    def _part(self, found: re.Match[str]) -> str:
        """Return a variable as a part of a URL; what comes before an @ is a name or a password, and has no slashes."""
        is_login = "@" in self._channel.url[found.end() :].partition("/")[0]
        return quote(self._environ[found[1]].strip(), safe="" if is_login else "/")

    def _failure(self, reason: str) -> ChannelError:
        for name in _VARIABLE.findall(self._channel.url):
            value = self._environ.get(name, "").strip()
            for part in sorted({value, quote(value, safe=""), quote(value), *re.split(r"[/:@?&=]+", value)}, key=len)[
                ::-1
            ]:
                if len(part) > 3:
                    reason = reason.replace(part, "***")
        return ChannelError(scrub(" ".join(reason.split())[:300]))


_quiet = threading.Lock()
_lines: ContextVar[list[str] | None] = ContextVar(
    "what Apprise says", default=None
)  # which it takes to its own threads


class _Ear(logging.Handler):
    """Hears what Apprise logs of a call that listens, and lets nobody else hear it."""

    def emit(self, record: logging.LogRecord) -> None:
        heard = _lines.get()
        if heard is not None and record.levelno >= logging.WARNING:
            heard.append(record.getMessage())


def _silence() -> None:
    with _quiet:
        logger = logging.getLogger("apprise")
        logger.propagate = False
        logger.setLevel(logging.WARNING)
        if not any(isinstance(handler, _Ear) for handler in logger.handlers):
            logger.addHandler(_Ear())


@contextmanager
def _heard() -> Generator[list[str], None, None]:
    heard: list[str] = []
    before = _lines.set(heard)
    try:
        yield heard
    finally:
        _lines.reset(before)

"""A channel of `alerts.toml` as something that sends: its URL with the environment's secrets in it, and Apprise behind it.

Apprise is imported when the first notification is sent: it takes most of a second. It logs what it sends and where, so its
log is kept from everybody; of it comes only the reason of a failure, without any part of the URL. Safe from any thread.
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
from urllib.parse import parse_qsl, quote, unquote

from otel_feedback.downstream.alerts.pairing import paired
from otel_feedback.downstream.alerts.rules import Channel
from otel_feedback.errors import FeedbackError
from otel_feedback.redaction.scrubbing import scrub

__all__ = ["ChannelError", "Sender", "missing_variables"]

_VARIABLE = re.compile(r"\$\{([A-Za-z_]\w*)\}")
_SEPARATORS = re.compile(r"[/:@?&=#]+")

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
        """See that it could send, and that no secret stands in the file.

        Raises:
            ChannelError: A variable is missing, Apprise is, or it knows no such URL; or that holds a secret itself.
        """
        if self.has_secret_in_file:
            raise ChannelError("its url holds a secret; write ${NAME} in place of it, and set NAME in the environment")

    @property
    def has_secret_in_file(self) -> bool:
        """Whether what Apprise calls a token, a key or a password of its service is in the URL as the file has it.

        Raises:
            ChannelError: As `check()` does.
        """
        target = self._made(self._url())
        names = {
            token.get("map_to", name)
            for name, token in {**target.template_tokens, **target.template_args}.items()
            if token.get("private")
        }
        told = type(target).parse_url(target.url()) or {}
        written = set(map(unquote, _SEPARATORS.split(_VARIABLE.sub("", self._channel.url))))
        return any(unquote(str(told[name])) in written for name in names if told.get(name))

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
        url = paired(self._url(), dedup, is_over=mood == "success")
        target = self._made(url)
        import apprise

        all_of_it = apprise.Apprise(target, asset=target.asset)
        with _heard() as said:
            try:
                is_sent = all_of_it.notify(
                    body=body, title=title, notify_type=apprise.NotifyType(mood), body_format=apprise.NotifyFormat.TEXT
                )
            except Exception as exc:  # of a plugin
                raise self._failure(f"{type(exc).__name__}: {exc}") from None
        if not is_sent:
            raise self._failure(said[-1] if said else "it was not taken, and nobody says why")

    def _made(self, url: str) -> Any:
        _silence()
        try:
            import apprise
        except ImportError:
            raise ChannelError("Apprise is not installed: pip install 'otel-feedback[alerts]'") from None
        asset = apprise.AppriseAsset(app_id="otel-feedback", app_desc="alerts of agents")
        with _heard() as said:
            try:
                target = apprise.Apprise.instantiate(url, asset=asset)
            except Exception as exc:  # what a plugin thinks of a URL
                raise self._failure(f"{type(exc).__name__}: {exc}") from None
        if target is None:
            raise self._failure(f"Apprise takes no such URL: {said[-1] if said else 'see appriseit.com/services'}")
        return target

    def _url(self) -> str:
        missing = missing_variables(self._channel, self._environ)
        if missing:
            raise ChannelError(f"{missing[0]} is not in the environment")
        template = self._channel.url
        whole = _VARIABLE.fullmatch(template)
        return self._environ[whole[1]].strip() if whole is not None else _VARIABLE.sub(self._part, template)

    def _part(self, found: re.Match[str]) -> str:
        """Return a variable as a part of a URL; what comes before an @ is a name or a password, and has no slashes."""
        is_login = "@" in self._channel.url[found.end() :].partition("/")[0]
        return quote(self._environ[found[1]].strip(), safe="" if is_login else "/")

    def _failure(self, reason: str) -> ChannelError:
        """Return what is said of a failure: nothing of the URL but its scheme, wherever its parts came from."""
        url = self._url()
        address, _, query = (url.partition("://")[2] or url).partition("?")
        whole = [unquote(part) for part in _SEPARATORS.split(address)] + [value for _, value in parse_qsl(query)]
        parts = {*whole, *(part for each in whole for part in _SEPARATORS.split(each))}
        hidden = {form for part in parts for form in (part, quote(part), quote(part, safe=""))}
        for each in sorted(hidden, key=len, reverse=True):
            if len(each) > 3:
                reason = reason.replace(each, "***")
        return ChannelError(scrub(" ".join(reason.split())[:300]))


_quiet = threading.Lock()
# Apprise takes it to its own threads
_lines: ContextVar[list[str] | None] = ContextVar("what Apprise says", default=None)


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

"""A schema registry with Confluent's API: what is asked of it, and what its answers mean.

Input: a subject and a schema's text, or an id. Output: the id, or the text. Every call connects anew and waits at most
`LIMIT_S` for each address: on a worker's thread, or one of a program that reads. Nothing here is kept: who asks keeps it.

Source: docs.confluent.io, "Schema Registry API Reference"; Apicurio and Karapace answer alike.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import quote

from otel_feedback.errors import ExportError
from otel_feedback.exporters.kafka.tls import make_context
from otel_feedback.sdk.compat.suppressing import suppress_instrumentation
from otel_feedback.sdk.forks import import_guard
from otel_feedback.settings.registry import RegistryConfig

if TYPE_CHECKING:
    from urllib.request import OpenerDirector

__all__ = ["REASON", "SchemaRegistry"]

REASON = "schema_registry"
LIMIT_S = 5.0
_CONTENT = "application/vnd.schemaregistry.v1+json"
_MOST_WORDS = 500
_ABSENT = frozenset({40401, 40402, 40403})
"""What a registry says of a subject, version or schema that is not there; another 404 is of whoever else answers."""
_LATEST = "versions/latest?verbose=true"


class _Answer(NamedTuple):
    url: str
    status: int
    told: Mapping[str, Any]

    @property
    def message(self) -> str:
        """What it says is wrong, in one line."""
        return " ".join(str(self.told.get("message", "no reason given")).split())[:_MOST_WORDS]


class SchemaRegistry:
    """Asks a registry. For one thread at a time.

    Args:
        config: Where it is, and who asks.
    """

    def __init__(self, config: RegistryConfig) -> None:
        self._config = config
        self._opener: OpenerDirector | None = None

    @property
    def name(self) -> str:
        """Its addresses."""
        return ", ".join(self._config.urls)

    def register(self, subject: str, schema: str) -> int:
        """Return the id of a schema under a subject; where it is not there yet, ask whether it may come, and register it.

        Raises:
            ExportError: The registry is away, or does not take it; retryable, since both may pass.
        """
        body = {"schema": schema}
        path = f"subjects/{quote(subject, safe='')}"
        found = self._ask(path, body)
        if found.status == 404:
            self._check(subject, self._ask(f"compatibility/{path}/{_LATEST}", body))
            found = self._ask(f"{path}/versions", body)
        if found.status in (409, 422):
            raise _not_taken(subject, found.message)
        return int(self._taken(found, f"the schema of {subject}")["id"])

    def schema(self, schema_id: int) -> str | None:
        """Return the text of a schema; None where the registry knows none of that id.

        Raises:
            ExportError: The registry is away, or does not say; retryable.
        """
        found = self._ask(f"schemas/ids/{schema_id}")
        if found.status == 404:
            return None
        told = self._taken(found, f"schema {schema_id}")
        return str(told["schema"])

    def check(self, subject: str, schema: str) -> bool:
        """Tell whether a schema is there already; where not, whether it may come is asked. Nothing is registered.

        Raises:
            ExportError: The registry is away, or would not take it.
        """
        path, body = f"subjects/{quote(subject, safe='')}", {"schema": schema}
        found = self._ask(path, body)
        if found.status == 404:
            self._check(subject, self._ask(f"compatibility/{path}/{_LATEST}", body))
            return False
        self._taken(found, f"the schema of {subject}")
        return True

    def _check(self, subject: str, answer: _Answer) -> None:
        if answer.status == 404:  # there is no other yet
            return
        told = self._taken(answer, f"whether the schema of {subject} is compatible")
        if told.get("is_compatible") is False:
            why = told.get("messages") or told.get("reason") or "no reason given"
            raise _not_taken(subject, " ".join(str(why).split())[:_MOST_WORDS])

    def _taken(self, answer: _Answer, what: str) -> Mapping[str, Any]:
        if answer.status == 200:
            return answer.told
        is_login = answer.status in (401, 403)
        todo = "correct SCHEMA_REGISTRY_BASIC_AUTH_USER_INFO, or grant it" if is_login else "look at the registry's log"
        found = f"{answer.url} answers {answer.status} when asked for {what}: {answer.message}; {todo}"
        raise ExportError(REASON, found, retryable=True)

    def _ask(self, path: str, body: object = None) -> _Answer:
        """Ask the first address that answers."""
        with import_guard:
            from http.client import HTTPException

        away: list[str] = []
        with suppress_instrumentation():
            for url in self._config.urls:
                try:
                    return self._ask_one(url, path, body)
                except (OSError, HTTPException, ValueError) as exc:
                    away.append(f"{url}: {' '.join(str(getattr(exc, 'reason', exc)).split())[:200]}")
        detail = f"no schema registry answers ({', '.join(away)}); start it, or correct SCHEMA_REGISTRY_URL"
        raise ExportError(REASON, detail, retryable=True)

    def _ask_one(self, url: str, path: str, body: object) -> _Answer:
        with import_guard:
            from urllib.error import HTTPError
            from urllib.request import Request

        data = None if body is None else json.dumps(body).encode()
        headers = {"Accept": f"{_CONTENT}, application/json", "Content-Type": _CONTENT}
        if self._config.user_info is not None:
            headers["Authorization"] = f"Basic {base64.b64encode(self._config.user_info.encode()).decode()}"
        request = Request(f"{url}/{path}", data, headers)  # noqa: S310 # the settings take http and https only
        try:
            with self._open().open(request, timeout=LIMIT_S) as response:
                status, text = response.status, response.read()
        except HTTPError as exc:
            with exc:
                status, text = exc.code, exc.read()
        try:
            told = json.loads(text)
        except ValueError:
            told = None
        if status >= 500:
            raise OSError(f"it answers {status}")
        if not isinstance(told, dict) or (status == 404 and told.get("error_code") not in _ABSENT):
            if status in (401, 403):  # of whatever stands before it
                told = {}
            else:
                raise ValueError(f"what answers there ({status}) is no schema registry")
        return _Answer(url, status, told)

    def _open(self) -> OpenerDirector:
        if self._opener is None:
            with import_guard:
                from urllib.request import HTTPSHandler, build_opener

            handlers: list[Any] = []
            if any(url.startswith("https:") for url in self._config.urls):
                handlers = [HTTPSHandler(context=make_context(self._config.ssl_options, ""))]
            self._opener = build_opener(*handlers)
        return self._opener


def _not_taken(subject: str, why: str) -> ExportError:
    detail = (
        f"the registry does not take the schema of {subject}, as it is not compatible with what is there: {why}; change the "
        "subject's compatibility or its schemas there (`otel-feedback schema avro` shows this one), or the topic"
    )
    return ExportError(REASON, detail, retryable=True)

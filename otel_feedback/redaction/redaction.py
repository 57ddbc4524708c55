"""What of an event may leave the agent: no secrets, no metadata that was not allowed, nothing beyond the limits.

Input: an event, or what an agent says of one that is to be. Output: the same object where nothing had to be changed, which
is nearly always; else a changed copy, and the names of the fields. Pure but for what it remembers: texts that it
has found clean, since names, keys and values repeat. Safe on any thread; never raises.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping, Sequence
from fnmatch import translate
from typing import Any, Final

import msgspec

from otel_feedback import semconv
from otel_feedback.events.model import MetadataValue, OutcomeEvent
from otel_feedback.redaction.limits import (
    MAX_ITEMS,
    MAX_NAME,
    MAX_STACK,
    MAX_TEXT,
    Problems,
    clean_tags,
    clean_text,
    cut,
    is_plain,
    plain_tags,
)
from otel_feedback.redaction.names import is_secret_name
from otel_feedback.redaction.scrubbing import MARK, scrub

__all__ = ["Redaction", "as_recorded", "without_texts"]

_NAMES: Final = (
    "action_type", "agent_name", "agent_type", "tool_name", "service_name", "run_id", "workflow_id", "correlation_id",
    "session_id", "user_id", "tenant_id", "error_type", "model", "provider", "experiment", "variant", "choice_policy",
)  # fmt: skip
_TEXTS: Final = {**dict.fromkeys(_NAMES, MAX_NAME), "error_message": MAX_TEXT, "stack_trace": MAX_STACK}
"""Fields that callers fill, with the most characters. Ids that we make are not looked at: they are hex."""

_IDENTITY: Final = (
    "schema_version", "event_id", "revision", "timestamp", "status", "trace_id", "span_id", "parent_event_id",
    "root_event_id", "depth",
)  # fmt: skip
_SPOKEN: Final = (
    "error_message", "stack_trace", "workflow_id", "correlation_id", "session_id", "user_id", "tenant_id",
)  # fmt: skip
_OWN_KEYS: Final = frozenset({
    semconv.METADATA_STATUS_REASON, semconv.METADATA_THREAD_LEFT, semconv.METADATA_ABANDONED,
    semconv.METADATA_EXCEPTION_GROUP, semconv.METADATA_EXPOSURE,
})  # fmt: skip
_OWN_PREFIX: Final = "otel_feedback."
_ID: Final = re.compile(r"[0-9a-f-]{1,64}")  # trace ids, UUIDs, hashes: many, and each is new
_MOST_KNOWN, _MOST_LONG = 4_096, 64  # a few hundred KB, and 1 MB
_NAMED: Final = MARK % "credential"


class Redaction:
    """Takes secrets out of texts, and metadata out of events.

    Args:
        allow: Patterns with `*` of the metadata keys that may stay, in any case; none: all.
        deny: Of those that may not; goes before `allow`. Keys that this package adds itself stay.
    """

    def __init__(self, allow: Sequence[str] = (), deny: Sequence[str] = ()) -> None:
        self._allow = _any_of(allow)
        self._deny = _any_of(deny)
        # adding, asking and clearing are atomic; that a text may be looked at twice does no harm
        self.known: set[str | None] = {None}
        """Texts that were found clean: at most MAX_NAME characters, no secret, no half of a character; and none at all."""
        self._long: set[str] = set()  # stack traces above all; the same failure comes again
        self.known_keys: set[str] = set()
        """Keys of metadata that may stay and whose values are nothing special."""
        self.declared: dict[tuple[str | None, ...], Any] = {}
        """What callers declared of actions under these rules, by the names that they gave; theirs to fill."""
        self.known_tags: dict[tuple[str, ...], tuple[str, ...]] = {}
        """Clean tags of actions, the same tuple for all that have them; theirs to fill, too."""

    def text(self, text: str) -> str:
        """Return the text without secrets."""
        return text if text in self.known or self._is_clean(text, MAX_STACK) else scrub(text)

    def optional(self, text: str | None) -> str | None:
        """Return the text without secrets, where there is one."""
        return None if text is None else self.text(text)

    def event(self, event: OutcomeEvent) -> OutcomeEvent:
        """Return the event as it may leave. On the agent's thread: 1 to 3 µs where nothing has to be changed."""
        clean, run_id = self.known, event.run_id
        texts = (
            event.action_type, event.agent_name, event.agent_type, event.tool_name, event.service_name,
            event.workflow_id, event.correlation_id, event.session_id, event.user_id, event.tenant_id,
            event.error_type, event.model, event.provider, None if run_id == event.trace_id else run_id, *event.tags,
            event.experiment, event.variant, event.choice_policy, *event.choice_candidates,
        )  # fmt: skip
        if not clean.issuperset(texts):
            for text in texts:
                if text not in clean and not self._is_clean(text, MAX_NAME):
                    return self._changed(event)
        message, stack = event.error_message, event.stack_trace
        if (
            (message is not None and message not in clean and not self._is_clean(message, MAX_TEXT))
            or (stack is not None and stack not in self._long and not self._is_clean(stack, MAX_STACK))
            or len(event.tags) > MAX_ITEMS
            or len(event.choice_candidates) > MAX_ITEMS
            or (event.metadata and not self._is_plain(event.metadata))
        ):
            return self._changed(event)
        return event

    def is_clean(self, texts: Collection[str | None], metadata: Mapping[str, MetadataValue]) -> bool:
        """Tell whether these short texts, and this metadata, may stay as they are."""
        known = self.known
        if not known.issuperset(texts):
            for text in texts:
                if text not in known and not self._is_clean(text, MAX_NAME):
                    return False
        return not metadata or self._is_plain(metadata)

    # -- what an agent says of its action: cleaned, limited and without secrets in one go --------------------

    def name(self, value: object, field: str, notes: Callable[[], Problems]) -> str:
        """Return a name or an identifier; `notes` gives what takes the fields that had to be changed."""
        if value.__class__ is str and value in self.known:
            return value  # type: ignore[return-value]
        if is_plain(value) and self._is_clean(value, MAX_NAME):
            return value
        return self.said(value, field, MAX_NAME, notes())

    def said(self, value: object, field: str, limit: int, problems: Problems) -> str:
        """Return a text of at most `limit` characters; `problems` takes the field if it had to be changed."""
        text = clean_text(value, field, problems, limit)
        return (
            text
            if self._is_clean(text, limit)
            else self._value(text, limit, field, problems.redacted, problems.truncated)
        )

    def error(self, kind: str, message: str, stack: str | None, problems: Problems) -> tuple[str, str, str | None]:
        """Return type, message and stack trace of an error, each of which has its limit already."""
        kind, message = (
            self.said(kind, "error_type", MAX_NAME, problems),
            self.said(message, "error_message", MAX_TEXT, problems),
        )
        if stack is not None and not self._is_clean(stack, MAX_STACK):
            stack = self._value(stack, MAX_STACK, "stack_trace", problems.redacted, problems.truncated)
        return kind, message, stack

    def tags(self, tags: object, notes: Callable[[], Problems]) -> tuple[str, ...]:
        """Return tags."""
        plain = plain_tags(tags) or clean_tags(tags, notes())
        if self._are_clean(plain):
            return plain
        problems = notes()
        changed = [self._value(tag, MAX_NAME, "tags", problems.redacted, problems.truncated) for tag in plain]
        return tuple(dict.fromkeys(changed))

    def metadata(self, flat: dict[str, MetadataValue], notes: Callable[[], Problems]) -> dict[str, MetadataValue]:
        """Return what may stay of metadata that is flat and has its limits."""
        if self._is_plain(flat):
            return flat
        problems = notes()
        pairs = (
            self._pair(key, value, problems.redacted, problems.truncated)
            for key, value in flat.items()
            if self.is_allowed(key)
        )
        return dict(pairs)

    def is_allowed(self, key: str) -> bool:
        """Tell whether metadata may have this key."""
        if key.startswith(_OWN_PREFIX) or key in _OWN_KEYS:
            return True
        if self._deny is not None and self._deny.match(key) is not None:
            return False
        return self._allow is None or self._allow.match(key) is not None

    # -- what is nearly always so, and quick -----------------------------------------------------------------

    def _is_clean(self, text: str | None, limit: int) -> bool:
        """Tell whether this text, which is not known yet, may stay as it is."""
        if text is None:
            self.known.add(None)  # it has been cleared since
            return True
        length = len(text)
        if length <= MAX_NAME:
            if _ID.fullmatch(text) is None and scrub(text) is not text:
                return False
            if text.isascii() or _is_whole(text):
                _remember(self.known, text)
            return True
        if length > limit:
            return False
        if text not in self._long:
            if scrub(text) is not text:
                return False
            _remember(self._long, text, _MOST_LONG)
        return True

    def _are_clean(self, values: Sequence[Any]) -> bool:
        clean = self.known
        for value in values:
            if value.__class__ is str and value not in clean and not self._is_clean(value, MAX_TEXT):
                return False
        return len(values) <= MAX_ITEMS

    def _is_plain(self, metadata: Mapping[str, MetadataValue]) -> bool:
        clean, keys = self.known, self.known_keys
        if not keys.issuperset(metadata) and not all(key in keys or self._is_ordinary(key) for key in metadata):
            return False
        for value in metadata.values():
            if value.__class__ is str:
                if value not in clean and not self._is_clean(value, MAX_TEXT):  # type: ignore[arg-type]
                    return False
            elif value.__class__ is list and not self._are_clean(value):  # type: ignore[arg-type]
                return False
        return len(metadata) <= MAX_ITEMS + len(_OWN_KEYS)

    def _is_ordinary(self, key: str) -> bool:
        """Tell whether this key of metadata, which is not known yet, may stay and says nothing special."""
        if not self.is_allowed(key) or is_secret_name(key) or not self._is_clean(key, MAX_NAME):
            return False
        _remember(self.known_keys, key)
        return True

    # -- what is seldom so -----------------------------------------------------------------------------------

    def _changed(self, event: OutcomeEvent) -> OutcomeEvent:
        flags: list[str] = []
        cuts: list[str] = []
        changes: dict[str, Any] = {
            field: self._value(text, limit, field, flags, cuts)
            for field, limit in _TEXTS.items()
            if (text := getattr(event, field)) is not None
        }
        for field in ("tags", "choice_candidates"):
            texts: tuple[str, ...] = getattr(event, field)
            changed = (self._value(text, MAX_NAME, field, flags, cuts) for text in texts[:MAX_ITEMS])
            changes[field] = tuple(dict.fromkeys(changed))
            if len(texts) > MAX_ITEMS:
                cuts.append(field)
        metadata: dict[str, MetadataValue] = {}
        own: dict[str, MetadataValue] = {}
        for key, value in event.metadata.items():
            if self.is_allowed(key):
                changed_key, changed = self._pair(key, value, flags, cuts)
                (own if key.startswith(_OWN_PREFIX) or key in _OWN_KEYS else metadata)[changed_key] = changed
        if len(metadata) > MAX_ITEMS:
            cuts.append("metadata")
            metadata = dict(list(metadata.items())[:MAX_ITEMS])
        metadata |= own
        _flag(metadata, semconv.METADATA_REDACTED, flags)
        _flag(metadata, semconv.METADATA_TRUNCATED, cuts)
        return msgspec.structs.replace(event, **changes, metadata=metadata)

    def _pair(self, key: str, value: Any, flags: list[str], cuts: list[str]) -> tuple[str, Any]:
        if key.startswith(_OWN_PREFIX):
            return key, value if key in _FLAGS else self._values(value, MAX_TEXT, f"metadata.{key}", flags, cuts)
        changed = cut(scrub(key), MAX_NAME)
        field = f"metadata.{changed}"
        if changed != key:
            flags.append(field)
        if is_secret_name(key):
            if value != _NAMED:
                flags.append(field)
            return changed, _NAMED
        return changed, self._values(value, MAX_TEXT, field, flags, cuts)

    def _values(self, value: Any, limit: int, field: str, flags: list[str], cuts: list[str]) -> Any:
        if isinstance(value, (list, tuple)):
            items: Sequence[Any] = value
            if len(items) > MAX_ITEMS:
                cuts.append(field)
            return type(value)(self._value(item, limit, field, flags, cuts) for item in items[:MAX_ITEMS])
        return self._value(value, limit, field, flags, cuts)

    def _value(self, value: Any, limit: int, field: str, flags: list[str], cuts: list[str]) -> Any:
        if not isinstance(value, str) or (len(value) <= limit and _ID.fullmatch(value) is not None):
            return value
        scrubbed = cut(value, limit, keep_end=field == "stack_trace") if len(value) > limit else scrub(value)
        if len(value) > limit:
            cuts.append(field)
        if scrubbed is not value and (len(value) <= limit or _mark_count(scrubbed) > _mark_count(value)):
            flags.append(field)
        return scrubbed if len(scrubbed) <= limit else cut(scrubbed, limit)


_FLAGS: Final = frozenset({semconv.METADATA_TRUNCATED, semconv.METADATA_INVALID, semconv.METADATA_REDACTED})


def _remember(known: set[Any], text: str, most: int = _MOST_KNOWN) -> None:
    if len(known) >= most:
        known.clear()
    known.add(text)


def _is_whole(text: str) -> bool:
    """Tell whether the text has no half of a character, which UTF-8 cannot hold."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _mark_count(text: str) -> int:
    return text.count("[REDACTED:")


def _any_of(patterns: Sequence[str]) -> re.Pattern[str] | None:
    return re.compile("|".join(translate(pattern) for pattern in patterns), re.IGNORECASE) if patterns else None


def _flag(metadata: dict[str, MetadataValue], key: str, fields: Sequence[str]) -> None:
    if fields:
        known = metadata.get(key, [])
        listed = known if isinstance(known, list) else [known]
        metadata[key] = list(dict.fromkeys([*listed, *fields]))


def as_recorded(event: OutcomeEvent, given: OutcomeEvent) -> OutcomeEvent:
    """Return what a user made of an event, with what tells which event it is put back."""
    return msgspec.structs.replace(given, **{field: getattr(event, field) for field in _IDENTITY})


def without_texts(event: OutcomeEvent) -> OutcomeEvent:
    """Return the event without what people wrote and without who it was about; its names and numbers stay."""
    gone: dict[str, Any] = {field: None for field in _SPOKEN if getattr(event, field) is not None}
    if event.run_id is not None and event.run_id != event.trace_id:
        gone["run_id"] = None
    if event.tags:
        gone["tags"] = ()
    metadata = {key: value for key, value in event.metadata.items() if key in _FLAGS}
    lost = [*gone, *(["metadata"] if len(metadata) < len(event.metadata) else [])]
    _flag(metadata, semconv.METADATA_REDACTED, lost)
    return msgspec.structs.replace(event, **gone, metadata=metadata)

"""Values that stand beside a name that says they are secret: `password=…`, `"api_key": "…"`, `Authorization: …`.

In assignments, JSON, Python's repr, headers, query strings, XML and on command lines. Pure, in linear time: around each
place where such a name may be a bounded number of characters is looked at, and a value is skipped once it is found.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

__all__ = ["SIGNS", "is_secret_name", "named_values"]

SIGNS: Final = ("=", ":", ">", "--", "', ", '", ')
"""Without one of these a text has no named value."""

_NAMES: Final = ("pass", "pwd", "secret", "token", "key", "credential", "cookie", "authorization", "sig")
_LOOK_BACK: Final = 24

_BEFORE: Final = {
    # of these a name of a secret must follow
    "key": re.compile(
        r"(?:api|access|account|private|secret|signing|encryption|master|auth|subscription|shared|storage|service|"
        r"license|functions|ssh|deploy|admin|webhook|sas)[\s_.-]?\Z"
    ),
    "sig": re.compile(r"(?:\A|[?&;\s\"'({,]|(?:amz|goog)-|x-ms-)\Z"),
    "pwd": re.compile(r"(?:\A|[^a-z])\Z"),
}
_NOT_BEFORE: Final = {
    "token": re.compile(
        r"(?:max|min|input|output|prompt|completion|total|reasoning|thinking|cached|cache|num|per|eos|bos|pad|unk|sep|cls|"
        r"mask|stop|special|unexpected|next|first|last|unrecognized|every|each|one|single)[\s_.-]?\Z"
    ),
}
_REST: Final = {
    "pass": re.compile(r"w(?:or)?d|phrase|code|(?<=[_-]pass)(?![a-z])"),
    "secret": re.compile(r"(?!ary|ariat|ion|e[ds]|ly)"),
    "token": re.compile(r"(?!s|i[sz])"),
    "key": re.compile(r"s?(?![a-z]{2})|s?(?=_|-)"),
    "sig": re.compile(r"nature(?![a-z])|(?![a-z])"),
    "pwd": re.compile(r"(?![a-z])"),
}
_NOT_AFTER: Final = re.compile(
    r"[_-]?(?:counts?|types?|names?|usage|limits?|length|len|budget|expir\w*|ur[il]|endpoint|paths?|files?|version|policy|"
    r"ttl|ratio|costs?|price|rate|size|bucket|errors?|less|manager|provider|required|valid\w*|invalid|hint|arn|field)\b"
)
_HEAD: Final = re.compile(
    r"(?P<more>[\w.-]{0,24})(?: provided)?(?P<close>[\\\"'`\])]{0,10})(?P<gap>(?:\s|\\{1,4}[nrt]){0,8})"
    r"(?P<sign>=>|:=|={1,3}|::?|>|,(?=\s?b?\\{0,8}[\"'(\[])|(?<=\s))"
    r"(?:\s|\\{1,4}[nrt]){0,16}(?:[bBrRuUfF]{1,2}(?=\\{0,8}[\"']))?(?P<open>\\{0,8}(?:\"\"\"|'''|[\"'`]))?"
)
_VALUE: Final = re.compile(
    r"(?:[^\s\"'`&,;<>\\]|\\(?![nrt\"'])|[,;](?!\s|\Z|[\w.-]{1,40}[\"']?\s?[=:]))+"
)  # a comma may be part of a password, unless another assignment follows it
_SCHEME: Final = re.compile(r"(?:bearer|basic|token|digest|negotiate|apikey|aws4-hmac-sha256)[\s+]{1,4}", re.IGNORECASE)
_LINE: Final = re.compile(r"[^\r\n\"]*")
_NO_SECRETS: Final = frozenset(
    [
        "none",
        "null",
        "nil",
        "true",
        "false",
        "undefined",
        "required",
        "missing",
        "invalid",
        "expired",
        "empty",
        "unknown",
        "denied",
        "incorrect",
        "wrong",
        "failed",
        "not",
        "no",
        "yes",
        "is",
        "was",
        "str",
        "string",
        "bytes",
        "int",
        "bool",
        "optional",
        "any",
        "object",
        "hidden",
        "masked",
        "filtered",
        "redacted",
        "of",
        "or",
        "and",
        "for",
        "in",
        "bearer",
        "basic",
        "digest",
        "token",
        "the",
        "a",
        "an",
    ]
)
_PLACEHOLDER: Final = re.compile(
    r"\*{2,}|<[\w -]+>|\$?\{[\w.]*\}|%\(?\w{0,20}\)?s|\.{3}|\[(?:REDACTED|Filtered)[^\]]{0,40}\]", re.IGNORECASE
)
_MARK: Final = re.compile(r"\[REDACTED:[a-z0-9-]+\]")
_CLOSING: Final = {"[": "]", "{": "}", "(": ")"}
_ENDS: Final = ")]}.,;:"


def is_secret_name(name: str) -> bool:
    """Tell whether a key of a mapping says that its value is secret: `password`, `x-api-key`; not `max_tokens`."""
    low = name.lower()
    if low in ("auth", "pass", "creds", "pin"):
        return True
    return any(head.end() > len(low) for head, _ in _heads(low + "=x", low + "=x"))


def named_values(text: str, low: str) -> Iterator[tuple[int, int]]:
    """Yield where each such value begins and ends.

    Args:
        low: The text in lower case, of the same length.
    """
    done = 0
    for head, name in _heads(text, low):
        start = head.end()
        if head.start() < done:
            continue
        end = _end_of_value(text, head, name)
        if end > start:
            done = end
            yield start, end


def _heads(text: str, low: str) -> Iterator[tuple[re.Match[str], str]]:
    if "[redacted:" in low:  # what was found is named by words like those that are looked for here
        low = re.sub(r"\[redacted:[a-z0-9-]+\]", lambda mark: "_" * len(mark[0]), low)
    places = sorted((place, name) for name in _NAMES if name in low for place in _places(low, name))
    for place, name in places:
        before = low[max(0, place - _LOOK_BACK) : place]
        if name in _BEFORE and _BEFORE[name].search(before) is None:
            continue
        if name in _NOT_BEFORE and _NOT_BEFORE[name].search(before) is not None:
            continue
        after = place + len(name)
        if name in _REST:
            rest = _REST[name].match(low, after)
            if rest is None:
                continue
            after = rest.end()
        if _NOT_AFTER.match(low, after) is not None:
            continue
        head = _HEAD.match(text, after)
        if head is not None and _is_assigned(head, name, text, before):
            yield head, name


def _places(low: str, name: str) -> Iterator[int]:
    place = low.find(name)
    while place >= 0:
        yield place
        place = low.find(name, place + len(name))


def _is_assigned(head: re.Match[str], name: str, text: str, before: str) -> bool:
    sign = head["sign"]
    if sign == "":  # a word and a space: on a command line only
        return "--" in before and not re.search(r"\s", before[before.rfind("--") :])
    if sign == ",":  # a pair: ('authorization', '…')
        return bool(head["close"]) and name in ("authorization", "cookie", "key")
    if sign == ">":  # <password>…</password>
        return not head["gap"] and not head["more"].endswith("-") and "<" in before + text[head.start() : head.end()]
    # of a query, not of Python
    return name != "sig" or (sign == "=" and not head["gap"] and not text[head.end() - 1].isspace())


def _end_of_value(text: str, head: re.Match[str], name: str) -> int:
    """Return where the value ends; where it starts if there is none, or none that could be secret."""
    start = head.end()
    marked = _MARK.match(text, start)
    if (quote := head["open"]) is not None:
        end = text.find(quote, start)
        while end > 0 and text[end - 1] == "\\":  # part of the value
            end = text.find(quote, end + len(quote))
        end = len(text) if end < 0 else end  # cut: all that is left may be of it
    elif name == "cookie":
        line = _LINE.match(text, start)
        end = start if line is None else line.end()
    elif text[start : start + 1] in _CLOSING and marked is None:
        if _is_source(text, start):
            return start
        end = text.find(_CLOSING[text[start]], start)
        end = len(text) if end < 0 else end + 1
    else:
        if _is_source(text, start):
            return start
        scheme = _SCHEME.match(text, start) if name == "authorization" else None
        value = _VALUE.match(text, start if scheme is None else scheme.end())
        end = start if value is None else value.end()
        while end > start and text[end - 1] in _ENDS and (marked is None or end > marked.end()):
            end -= 1
    return end if _may_be_secret(text[start:end], name) else start


def _may_be_secret(value: str, name: str) -> bool:
    stripped = value.strip()
    if not stripped or _PLACEHOLDER.fullmatch(stripped) is not None or stripped.lower() in _NO_SECRETS:
        return False
    if name == "pwd" and stripped.startswith("/"):  # the working directory
        return False
    return name != "sig" or len(stripped) >= 16


def _is_source(text: str, place: int) -> bool:
    """Tell whether this is in a line of source that a traceback shows, where what is not in quotes is code."""
    begin = _line_begin(text, place)
    for _ in range(8):  # from Python 3.13 on, a statement of several lines is shown as such
        line = text[begin : begin + 80].lstrip(" |+")
        if line.startswith('File "'):
            return True
        if begin <= 0 or not text.startswith(("    ", "  |   "), begin):
            return False
        begin = _line_begin(text, begin - 1)
    return False


def _line_begin(text: str, place: int) -> int:
    """Return where the line begins; 0 also where it is longer than lines of source are."""
    return text.rfind("\n", max(0, place - 500), place) + 1

r"""Secrets in text: `scrub` replaces each by `[REDACTED:kind]` and keeps the rest.

Pure, safe on any thread, in linear time whatever the text is: each rule names substrings without which its pattern is
not tried, no pattern can be tried again over an unbounded run of characters that it has failed on, and what may be of
any length (a quoted value, a private key) is looked for with `str.find`.

No library, since none fits an agent's thread: detect-secrets 1.5 takes 485 µs for a line of 90 characters and 21 ms for
a stack trace, brings requests and PyYAML, and reports only the prefix of some keys; scrubadub (last release 2021) and
presidio look for people with language models; Sentry's and logfire's scrubbers go by names of fields, mainly.
The kinds, and where a vendor's key has a form, the form, are those of gitleaks' rules
(github.com/gitleaks/gitleaks, config/gitleaks.toml), with lower limits of length: a key may have been cut.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Callable, Iterator
from typing import Final, NamedTuple
from urllib.parse import unquote

from otel_feedback.redaction.names import SIGNS, named_values

__all__ = ["MARK", "scrub"]

MARK: Final = "[REDACTED:%s]"

_Span = tuple[int, int, str]


class _Rule(NamedTuple):
    """`tells`: without one of these, in the case given, there is no match. The group `s`, if there, is the secret."""

    kind: str
    tells: tuple[str, ...]
    pattern: re.Pattern[str]
    confirms: Callable[[str], bool] = lambda found: True


def _is_bearer(token: str) -> bool:
    return len(token) >= 20 or any(c.isdigit() for c in token)  # "bearer authentication" is prose


def _is_basic(token: str) -> bool:
    token = token.replace("-", "+").replace("_", "/").rstrip("=")
    try:
        return b":" in base64.b64decode(token + "=" * (-len(token) % 4))
    except binascii.Error:  # cut
        return b":" in base64.b64decode(token[: len(token) // 4 * 4])


_B = r"(?:(?<![A-Za-z0-9])|(?<=\\[nrtbf]))"  # a word begins, also after an escaped line break


def _rule(kind: str, tells: str, pattern: str, confirms: Callable[[str], bool] = lambda found: True) -> _Rule:
    return _Rule(kind, tuple(tells.split()), re.compile(pattern, re.ASCII), confirms)


# the first of two that overlap names what was found
_RULES: Final = (
    _rule("aws-access-token", "AKIA ASIA ABIA ACCA", _B + r"(?:A[KSB]IA|ACCA(?=[A-Z]{0,15}[2-7]))[A-Z0-9]{12,}"),
    _rule("aws-bedrock-api-key", "ABSK", r"ABSK[A-Za-z0-9+/=]{32,}"),
    _rule("gcp-api-key", "AIza", r"AIza[\w-]{16,}"),
    _rule("google-oauth-token", "ya29. GOCSPX- 1//0", r"ya29\.[\w./-]{8,}|GOCSPX-[\w-]{8,}|" + _B + r"1//0[\w-]{16,}"),
    _rule("azure-ad-client-secret", "Q~", r"[\w~.-]{3}\dQ~[\w~.-]{16,}"),
    _rule("twilio-api-key", "SK", _B + r"SK[0-9a-fA-F]{20,}"),
    _rule("databricks-api-token", "dapi", _B + r"dapi[a-f0-9]{16,}(?:-\d)?"),
    _rule("sendgrid-api-token", "SG.", _B + r"SG\.[\w.=-]{16,}"),
    _rule("slack-webhook-url", "hooks.slack.com/", r"hooks\.slack\.com/(?P<s>[\w/+-]{10,})"),
    _rule("jwt", "eyJ", _B + r"eyJ[\w+/=-]{16,}(?:\.[\w=-]*)*"),  # also JSON in base64 that is no JWT
    _rule("telegram-bot-api-token", ":A", _B + r"\d{5,16}:A[\w-]{34}"),
)
_RULES_WITH_HYPHEN: Final = (
    _rule("anthropic-api-key", "sk-ant-", r"sk-ant-[\w-]{8,}"),
    _rule("langfuse-secret-key", "sk-lf-", r"sk-lf-[\w-]{8,}"),
    _rule("openai-api-key", "sk-", r"sk-(?:proj|svcacct|admin|None)-[\w-]{8,}|"
          # also of those who took the form over: DeepSeek, OpenRouter, LiteLLM
          + _B + r"sk-(?=[A-Za-z_-]{0,40}\d)[\w-]{20,}"),
    _rule("gitlab-pat", "glpat- gldt- glrt- glptt- gloas- glsoat- glcbt- glagent-",
          r"gl(?:pat|dt|rt|ptt|oas|soat|cbt|agent)-[\w.-]{8,}"),
    _rule("slack-token", "xox xapp-", r"xox[a-z](?:\.xox[a-z])?-[\w-]{8,}|xapp-\d-[\w-]{8,}"),
    _rule("xai-api-key", "xai-", _B + r"xai-[A-Za-z0-9]{20,}"),
    _rule("perplexity-api-key", "pplx-", r"pplx-[A-Za-z0-9]{16,}"),
    _rule("pypi-upload-token", "pypi-AgE", r"pypi-AgE[\w-]{8,}"),
    _rule("vendor-token", "tvly- nvapi- PMAK- pul- AGE-SECRET-KEY-",
          r"tvly-[\w-]{16,}|nvapi-[\w-]{16,}|PMAK-[\w-]{16,}|" + _B + r"pul-[a-f0-9]{20,}|AGE-SECRET-KEY-[A-Z0-9]{16,}"),
)  # fmt: skip
_RULES_WITH_UNDERSCORE: Final = (
    _rule("github-token", "ghp_ gho_ ghu_ ghs_ ghr_ github_pat_", r"gh[pousr]_[A-Za-z0-9]{10,}|github_pat_\w{10,}"),
    _rule("stripe-access-token", "k_live_ k_test_ k_prod_ whsec_",
          _B + r"[sr]k_(?:live|test|prod)_[A-Za-z0-9]{8,}|whsec_[\w+/=]{16,}"),
    _rule("huggingface-access-token", "hf_ api_org_", _B + r"(?:hf|api_org)_[A-Za-z0-9]{16,}"),
    _rule("groq-api-key", "gsk_", r"gsk_[A-Za-z0-9]{16,}"),
    _rule("langsmith-api-key", "lsv2_", r"lsv2_\w{10,}"),
    _rule("npm-access-token", "npm_", _B + r"npm_[A-Za-z0-9]{16,}"),
    _rule("shopify-access-token", "shpat_ shpca_ shppa_ shpss_", r"shp(?:at|ca|pa|ss)_[a-fA-F0-9]{16,}"),
    _rule("vendor-token", "_v1_ ntn_ lin_api_ glsa_ glc_ sntry pcsk_ r8_ rubygems_",
          r"do[opr]_v1_[a-f0-9]{16,}|" + _B + r"(?:ntn|glc|pcsk|r8)_[A-Za-z0-9_+/=]{20,}|lin_api_\w{16,}|glsa_\w{16,}|"
          r"sntry[su]_[\w+/=]{16,}|rubygems_[a-f0-9]{16,}"),
)  # fmt: skip
_RULES_IN_LOWER_CASE: Final = (
    _rule("bearer-token", "bearer", r"(?i:bearer)[\s:+]{1,4}(?P<s>[\w.~+/=-]{8,})", _is_bearer),
    _rule("basic-auth", "basic", r"(?i:basic)[\s+]{1,4}(?P<s>[A-Za-z0-9+/_-]{4,4096}={0,2})", _is_basic),
    _rule("vault-token", "hvs. hvb.", r"(?i:hv[sb])\.[\w-]{16,}"),
)  # fmt: skip


def _tells(rules: tuple[_Rule, ...]) -> tuple[str, ...]:
    tells = dict.fromkeys(tell for rule in rules for tell in rule.tells)
    return tuple(tell for tell in tells if not any(other in tell for other in tells if other != tell))


# asked in C, all at once: a text without any of these costs 1 µs
_TELLS: Final = _tells(_RULES)
_TELLS_WITH_HYPHEN: Final = _tells(_RULES_WITH_HYPHEN)
_TELLS_WITH_UNDERSCORE: Final = _tells(_RULES_WITH_UNDERSCORE)
_TELLS_IN_LOWER_CASE: Final = _tells(_RULES_IN_LOWER_CASE)
_SHORTEST: Final = 13  # characters of the shortest key that a rule finds by its form alone
_SIGN: Final = re.compile(r"[=:>\s+%,]")

# up to the last @ before the path; or, for a password with / ? or # in it, up to an @, unless it begins like a port
_URL = _rule("url-password", "", r"://[^\s/:@\"'<>?#]{0,256}:(?P<s>[^\s\"'<>/?#]{1,256}"
             r"|(?!\d{1,5}[/?#])[^\s\"'<>@]{1,256})@")  # fmt: skip
_KEY_EDGE = re.compile(r"-----(BEGIN|END)[ +][A-Z0-9 +]{0,40}PRIVATE[ +]KEY([ +]BLOCK)?-----|PRIVATE KEY( BLOCK)?-----")
_KEY_BODY = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/=-_:, \t\r\n\\")
_MARKED = re.compile(r"\[REDACTED:[a-z0-9-]+\]")
_PERCENT = re.compile(r"%[0-9A-Fa-f]{2}")
_ESCAPED = re.compile(r"\\u00([0-7][0-9A-Fa-f])")
_DEEPEST = 3  # encodings around each other
_MOST_PASSES = 8


def scrub(text: str) -> str:
    """Return the text with `[REDACTED:kind]` in the place of each secret; the very same object where there is none."""
    scrubbed = _replaced(text)
    if "%" in text or "\\u00" in text:
        decoded = scrubbed
        for _ in range(_DEEPEST):
            before, decoded = decoded, _decoded(decoded)
            if decoded == before:
                break
            without = _replaced(decoded)
            if without != decoded:  # else the text stays as it was written
                scrubbed = decoded = without
    return text if scrubbed == text else scrubbed


def _decoded(text: str) -> str:
    if _PERCENT.search(text):
        text = unquote(text)
    return _ESCAPED.sub(lambda match: chr(int(match[1], 16)), text)


def _find(text: str) -> list[_Span]:
    found: list[_Span] = []
    if len(text) < _SHORTEST and _SIGN.search(text) is None:
        return found
    holds = text.__contains__
    if any(map(holds, _TELLS)):
        _apply(_RULES, text, text, found)
    if "-" in text and any(map(holds, _TELLS_WITH_HYPHEN)):
        _apply(_RULES_WITH_HYPHEN, text, text, found)
    if "_" in text and any(map(holds, _TELLS_WITH_UNDERSCORE)):
        _apply(_RULES_WITH_UNDERSCORE, text, text, found)
    if "-----" in text:
        found += _private_keys(text)
    if "://" in text and "@" in text:
        found += _matches(_URL, text)
    low = text.lower()
    if any(map(low.__contains__, _TELLS_IN_LOWER_CASE)):
        _apply(_RULES_IN_LOWER_CASE, low, text, found)
    if any(map(holds, SIGNS)):
        # what a character's lower case is may be longer than it
        low = low if len(low) == len(text) else "".join(c.lower()[:1] for c in text)
        found += [(start, end, "credential") for start, end in named_values(text, low)]
    return found


def _apply(rules: tuple[_Rule, ...], told: str, text: str, found: list[_Span]) -> None:
    for rule in rules:
        if any(map(told.__contains__, rule.tells)):
            found += _matches(rule, text)


def _matches(rule: _Rule, text: str) -> Iterator[_Span]:
    for match in rule.pattern.finditer(text):
        start, end = match.span("s" if "s" in rule.pattern.groupindex else 0)
        if rule.confirms(text[start:end]):
            yield start, end, rule.kind


def _private_keys(text: str) -> Iterator[_Span]:
    """Yield private keys from edge to edge: where one is missing, since the text was cut, all that might be key."""
    begun: int | None = None
    floor = 0
    for match in _KEY_EDGE.finditer(text):
        if match[1] != "END":
            begun = match.start() if begun is None else begun
        else:
            start = match.start() if begun is None else begun
            while begun is None and start > floor and text[start - 1] in _KEY_BODY:
                start -= 1
            yield start, match.end(), "private-key"
            begun, floor = None, match.end()
    if begun is not None:
        yield begun, len(text), "private-key"


def _replaced(text: str) -> str:
    for _ in range(_MOST_PASSES):
        found = _find(text)
        if not found:
            break
        before, text = text, _without(text, found)
        if text == before:
            break  # else look again: what is glued to a secret begins a word now
    return text


def _without(text: str, found: list[_Span]) -> str:
    parts: list[str] = []
    done = 0
    for start, end, kind in _merged(found):
        if _MARKED.fullmatch(text, start, end) is None:
            parts += (text[done:start], MARK % kind)
            done = end
    return "".join([*parts, text[done:]])


def _merged(found: list[_Span]) -> Iterator[_Span]:
    """Yield what was found in order, and what overlaps as one."""
    rank = {id(span): place for place, span in enumerate(found)}
    start, end, kind, best = -1, -1, "", 0
    for span in sorted(found, key=lambda span: span[:2]):
        if span[0] < end:
            end = max(end, span[1])
            if rank[id(span)] < best:
                kind, best = span[2], rank[id(span)]
            continue
        if end >= 0:
            yield start, end, kind
        start, end, kind = span
        best = rank[id(span)]
    yield start, end, kind

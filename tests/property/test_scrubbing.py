"""What `scrub` finds, and what it leaves alone; whatever the text is, in linear time."""

from __future__ import annotations

import base64
import time
import traceback
import uuid

import pytest
from hypothesis import given
from hypothesis import strategies as st

from otel_feedback.redaction.names import is_secret_name
from otel_feedback.redaction.scrubbing import scrub
from tests.made_up_secrets import SECRETS, SURROUNDINGS, Secret, pem, within

ANY_SECRET = pytest.mark.parametrize("secret", SECRETS, ids=lambda secret: secret.name)


@ANY_SECRET
@pytest.mark.parametrize("surrounding", SURROUNDINGS)
def test_a_secret_is_replaced_wherever_it_stands(secret: Secret, surrounding: str) -> None:
    text = within(secret, surrounding)
    scrubbed = scrub(text)
    for hidden in secret.hidden:
        assert hidden not in scrubbed
    assert "[REDACTED:" in scrubbed
    assert scrub(scrubbed) == scrubbed
    before = SURROUNDINGS[surrounding].partition("{}")[0]
    assert scrubbed.startswith(before), "the rest stays"


def test_what_was_found_is_named_and_the_rest_of_the_text_stays() -> None:
    key, password = "gh" + "p_" + "a1B2" * 9, "hunter2"
    assert scrub(f"clone with {key} failed") == "clone with [REDACTED:github-token] failed"
    assert scrub(f"{{'password': '{password}', 'n': 5}}") == "{'password': '[REDACTED:credential]', 'n': 5}"
    assert scrub(f"https://me:{password}@host:80/x") == "https://me:[REDACTED:url-password]@host:80/x"
    assert scrub("AKI" + "A" + "Q2" * 8 + ": 0 of 5") == "[REDACTED:aws-access-token]: 0 of 5"
    assert scrub(f"GET /?token={password}&x=1 failed") == "GET /?token=[REDACTED:credential]&x=1 failed"


@pytest.mark.parametrize("kind", ["", "RSA ", "OPENSSH "])
def test_a_private_key_that_was_cut_leaves_nothing(kind: str) -> None:
    text, lines = pem(kind)
    text = f"before: {text} after"
    for cut in range(0, len(text), 7):
        for part in (text[:cut], text[cut:]) if kind else (text[:cut],):
            marks = "PRIVATE KEY-----" in part
            assert not marks or not any(line in scrub(part) for line in lines)


def frames(depth: int) -> str:
    def fail(password: str, n: int) -> None:
        if n:
            fail(password=password, n=n - 1)
        raise KeyError("api_key")

    try:
        fail("x", depth)
    except KeyError as exc:
        return "".join(traceback.format_exception(exc))
    return ""


HARMLESS = (
    "sk-model", "gpt-4o-mini-2024-07-18", "claude-3-5-sonnet-20241022", "hf_hub_download", "npm_config_registry",
    "pypi-publish", "xai-grok", "us.anthropic.claude-sonnet-4-20250514-v1:0", "task-risk-assessment-of-sk-learn",
    "input_tokens: 512, max_tokens=4096, total_tokens: 7", "token_count=5", "Unexpected token: < at 3",
    "JSONDecodeError: Expecting value: line 1 column 1 (char 0)", "KeyError: 'api_key'", "PWD=/home/me",
    "the password was wrong", "a secret: none", "bearer authentication failed", "basic understanding of auth",
    "http://localhost:8080/a?mail=me@example.com", "ssh://git@github.com/x/y.git", "mailto:me@example.com",
    "/usr/lib/python3.11/site-packages/openai/_base_client.py:1059", "C:\\Users\\me\\agent.py",
    "50% of 100%25 done", "sort_key=name, primary_key: id", "password=None", "token: null", "api_key=***",
    'Traceback (most recent call last):\n  File "a.py", line 1, in f\n    client = Client(api_key=api_key, token=get_token())\n',
    "next_token=abc", "eos_token: </s>", "author: me", "authors: a, b", "the secretary: Ms. X", "keyboard: qwerty",
    "monkey: banana", "signature = inspect.signature(f)", "2026-01-01T00:00:00Z level=info msg=done",
    "data:image/png;base64," + base64.b64encode(bytes(range(256)) * 8).decode(),
)  # fmt: skip


@pytest.mark.parametrize("text", HARMLESS)
def test_texts_without_secrets_stay_as_they_are(text: str) -> None:
    assert scrub(text) is text


def test_a_traceback_stays_as_it_is() -> None:
    for depth in (0, 1, 3):
        assert scrub(text := frames(depth)) is text


@given(st.one_of(st.uuids().map(str), st.uuids().map(lambda one: one.hex), st.binary(max_size=64).map(bytes.hex)))
def test_ids_and_hashes_stay_as_they_are(text: str) -> None:
    assert scrub(text) is text
    assert scrub(sentence := f"run {text} failed, span={text}, id: {text}") is sentence


WORDS = st.sampled_from([
    "the", "agent", "called", "a", "tool", "and", "it", "failed", "because", "of", "an", "order", "that", "was", "missing;",
    "please", "retry", "later,", "it", "said", "(twice)", "customer's", "address", "—", "naïve", "12", "3.5%", "#4711", "e.g.",
    "AND", "OR", "not_found", "react_agent", "list[int]", "x+y", "a/b",
])  # fmt: skip


@given(st.lists(WORDS, max_size=40).map(" ".join))
def test_prose_stays_as_it_is(text: str) -> None:
    assert scrub(text) is text


SHREDS = st.sampled_from([
    *(secret.text for secret in SECRETS[::5]), "password", "token", "=", ":", '"', "'", '\\"', "\\", "\\n", "\n", " ", "[", "]",
    "{", "}", "://", "@", "%3D", "%22", "%25", "\\u003d", "-----BEGIN PRIVATE KEY-----", "-----END PRIVATE KEY-----",
    "Bearer ", "Basic ", "eyJ", "s" + "k-", "[REDACTED:jwt]", "[REDACTED:", "a", "1", "İ", "😀", "\udc80", "<", ">", ",", "--",
    "api_key", "cookie", "authorization", "sig=", 'File "x"', "    ",
])  # fmt: skip


@given(st.one_of(st.text(max_size=200), st.lists(SHREDS, max_size=12).map("".join)))
def test_whatever_the_text_is_scrubbing_again_changes_nothing(text: str) -> None:
    once = scrub(text)
    assert scrub(once) == once


PATTERNS = (
    "eyJ", "-eyJ", "s" + "k-", "s" + "k-a", "://", "://a:", "https://a:b/", "token=", "token:'", 'password="', "token=[",
    "token = ", "    token=x\n", "token=;a=", "PRIVATE KEY-----", "-----END PRIVATE KEY-----", "-----BEGIN ", "basic ",
    "bearer a", "%25", "%3d", "token%3d", "\\u00", "--token ", "<token>", "cookie:", "api_key,'", "xo" + "x-", "Q~", "aaa0Q~",
    "AKI" + "A", "ACCA", "h" + "f_", "[REDACTED:jwt]", "\\", '\\"', 'token=\\"', "    ", "a" * 99, "1:A", "S" + "G.",
)  # fmt: skip


def seconds(text: str) -> float:
    best = 9e9
    for _ in range(3):
        began = time.thread_time()
        scrub(text)
        best = min(best, time.thread_time() - began)
    return best


@pytest.mark.parametrize("pattern", PATTERNS)
def test_four_times_the_text_takes_about_four_times_as_long(pattern: str) -> None:
    short, long = ((pattern * (size // len(pattern) + 1))[:size] for size in (8_000, 32_000))
    # a square would take 16 times as long
    assert any(seconds(long) < 9 * seconds(short) + 1e-4 for _ in range(6))


@pytest.mark.parametrize(
    ("name", "is_secret"),
    [
        *((name, True) for name in (
            "password", "passwd", "DB_PASSWORD", "api_key", "apiKey", "X-Api-Key", "authorization", "Proxy-Authorization",
            "token", "access_token", "auth", "secret", "client_secret", "cookie", "Set-Cookie", "AWS_SECRET_ACCESS_KEY",
            "openai.api_key", "private_key", "password_hash", "pwd", "credentials", "refreshToken", "passphrase",
        )),
        *((name, False) for name in (
            "input_tokens", "max_tokens", "token_count", "tokens_used", "tokenizer", "secretary", "keyboard", "primary_key",
            "sort_key", "next_token", "token_limit", "compass", "bypass", "design", "author", "path", "key", "session_id",
            "idempotency_key", "passed", "monkey", "cookie_count",
        )),
    ],
)  # fmt: skip
def test_names_that_say_secret(name: str, is_secret: bool) -> None:
    assert is_secret_name(name) is is_secret


def test_a_uuid_in_a_run_is_no_secret() -> None:
    assert scrub(text := f"run-{uuid.UUID(int=7)}") is text

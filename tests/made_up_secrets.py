"""Secrets for tests: each in its vendor's form, made up at run time, so that none stands in this repository."""

from __future__ import annotations

import base64
import json
import random
import string
from typing import NamedTuple

__all__ = ["SECRETS", "SURROUNDINGS", "Secret", "pem", "within"]

_random = random.Random(4711)
_LETTERS = string.ascii_letters + string.digits
_HEX = "0123456789abcdef"


def _some(count: int, of: str = _LETTERS) -> str:
    # a digit first: some forms must have one
    return "7" + "".join(_random.choice(of) for _ in range(count - 1))


def _b64(data: object) -> str:
    return base64.urlsafe_b64encode(json.dumps(data).encode()).decode().rstrip("=")


class Secret(NamedTuple):
    """A text that holds a secret, and the parts of it that nobody may see."""

    name: str
    text: str
    hidden: tuple[str, ...]


def _key(name: str, *parts: str) -> Secret:
    text = "".join(parts)
    return Secret(name, text, (parts[-1] if len(parts) > 1 else text,))


def pem(kind: str = "RSA ", lines: int = 12) -> tuple[str, list[str]]:
    """Return a private key block, and its lines of key."""
    body = [_some(64, _LETTERS + "+/") for _ in range(lines)]
    dashes = "-" * 5
    head, foot = (f"{dashes}{word} {kind}PRIVATE {'KEY'}{dashes}" for word in ("BEGIN", "END"))
    return "\n".join([head, *body, foot]), body


def _private_key(name: str, kind: str) -> Secret:
    text, body = pem(kind)
    return Secret(name, text, tuple(body))


_JWT = ".".join([_b64({"alg": "HS256", "typ": "JWT"}), _b64({"sub": _some(12), "admin": True}), _some(43)])
_PASSWORD = "Tr0ub4dor" + _some(5)

SECRETS = (
    _key("aws access key", "AKI" + "A", _some(16, string.ascii_uppercase + "234567").replace("7", "Q", 1)),
    Secret("aws secret key", f"aws_secret_{'access'}_key = {(one := _some(40))}", (one,)),
    _key("gcp", "AI" + "za", _some(35)),
    _key("azure client secret", _some(3) + "8Q" + "~", _some(34)),
    Secret("azure storage", f"AccountName=x;Account{'Key'}={(one := _some(86))}==;EndpointSuffix=core", (one,)),
    Secret("azure sas", f"https://x.blob.core.windows.net/c?sv=2024&si{'g'}={(one := _some(43))}%3D&se=2026", (one,)),
    _key("openai old", "s" + "k-", _some(48)),
    _key("openai project", "s" + "k-proj-", _some(60, _LETTERS + "_-")),
    _key("anthropic", "s" + "k-ant-api03-", _some(93, _LETTERS + "_-") + "AA"),
    _key("openrouter", "s" + "k-or-v1-", _some(64, _HEX)),
    _key("google oauth", "ya" + "29.", _some(60, _LETTERS + "_-")),
    _key("github classic", "gh" + "p_", _some(36)),
    _key("github oauth", "gh" + "o_", _some(36)),
    _key("github server", "gh" + "s_", _some(36)),
    _key("github fine-grained", "github" + "_pat_", _some(82, _LETTERS + "_")),
    _key("gitlab", "gl" + "pat-", _some(20, _LETTERS + "_-")),
    _key("slack bot", "xo" + "xb-", f"{_some(12, string.digits)}-{_some(12, string.digits)}-{_some(24)}"),
    _key("slack webhook", "https://hooks.slack" + ".com/services/", f"T{_some(8)}/B{_some(8)}/{_some(24)}"),
    _key("stripe", "s" + "k_live_", _some(24)),
    _key("stripe restricted", "r" + "k_live_", _some(24)),
    _key("huggingface", "h" + "f_", _some(34)),
    _key("groq", "gs" + "k_", _some(52)),
    _key("xai", "xa" + "i-", _some(80)),
    _key("perplexity", "ppl" + "x-", _some(48)),
    _key("langfuse", "s" + "k-lf-", "-".join(_some(n, _HEX) for n in (8, 4, 4, 4, 12))),
    _key("langsmith", "lsv" + "2_pt_", f"{_some(32, _HEX)}_{_some(10, _HEX)}"),
    _key("npm", "np" + "m_", _some(36)),
    _key("pypi", "pyp" + "i-AgE", "IcHlwaS5vcmc" + _some(60, _LETTERS + "_-")),
    _key("sendgrid", "S" + "G.", f"{_some(22)}.{_some(43, _LETTERS + '_-')}"),
    _key("twilio", "S" + "K", _some(32, _HEX)),
    _key("databricks", "dap" + "i", _some(32, _HEX)),
    Secret("jwt", _JWT, tuple(_JWT.split(".")[1:])),
    Secret("bearer", f"Authorization: Bearer {(one := _some(30))}", (one,)),
    Secret("bearer alone", f"bearer {(one := _some(24))}", (one,)),
    Secret("basic", f"Authorization: Basic {(one := base64.b64encode(f'me:{_PASSWORD}'.encode()).decode())}", (one,)),
    Secret("password in url", f"postgres://me:{_PASSWORD}@db.example.com:5432/x?sslmode=on", (_PASSWORD,)),
    Secret("password with @ in url", f"amqp://me:p@{_PASSWORD}@mq.example.com/v", (_PASSWORD,)),
    Secret("encoded url", f"next=https%3A%2F%2Fme%3A{_PASSWORD}%40example.com%2F", (_PASSWORD,)),
    _private_key("rsa key", "RSA "),
    _private_key("pkcs8 key", ""),
    _private_key("openssh key", "OPENSSH "),
    _private_key("encrypted key", "ENCRYPTED "),
    Secret("assignment", f"password={_PASSWORD}", (_PASSWORD,)),
    Secret("assignment in lines", f"password:\n    {_PASSWORD}", (_PASSWORD,)),
    Secret("query", f"https://example.com/a?x=1&access_token={_PASSWORD}&y=2", (_PASSWORD,)),
    Secret("encoded query", f"goto=%2Fa%3Fapi_key%3D{_PASSWORD}%26y%3D2", (_PASSWORD,)),
    Secret("json", json.dumps({"user": "me", "password": f'{_PASSWORD} "quoted" {_PASSWORD}', "n": 1}), (_PASSWORD,)),
    Secret("json in json", json.dumps(json.dumps({"api_key": _PASSWORD})), (_PASSWORD,)),
    Secret("escaped json", f"\\u0022token\\u0022:\\u0022{_PASSWORD}\\u0022", (_PASSWORD,)),
    Secret("repr", repr({"client_secret": _PASSWORD, "ok": True}), (_PASSWORD,)),
    Secret("header pairs", repr([("x-api-key", _PASSWORD), ("accept", "*/*")]), (_PASSWORD,)),
    Secret("header lists", repr({"authorization": [f"Token {_PASSWORD}"]}), (_PASSWORD,)),
    Secret("cookie", f"Set-Cookie: session={_PASSWORD}; other={_PASSWORD}; Path=/", (_PASSWORD,)),
    Secret("command line", f"deploy --token {_PASSWORD} --verbose", (_PASSWORD,)),
    Secret("xml", f"<auth><password>{_PASSWORD}</password></auth>", (_PASSWORD,)),
    Secret("connection string", f"Server=x;Password={_PASSWORD},{_PASSWORD};User Id=me", (_PASSWORD,)),
    Secret("api key in prose", f"Incorrect API key provided: {_PASSWORD}. Look at your account.", (_PASSWORD,)),
    Secret("yaml", f"db:\n    host: x\n    password: {_PASSWORD}\n", (_PASSWORD,)),
)

SURROUNDINGS = {
    "alone": "{}",
    "prose": "the call failed with {} after 3 attempts",
    "quotes": 'it said "{}", and stopped',
    "lines": "first line\n{}\nlast line",
    "other alphabets": "наша ошибка İ 😀 {} ошибка",
    "escaped": "before\\n{}\\nafter",
}


def within(secret: Secret, surrounding: str) -> str:
    """Return the secret's text in a surrounding."""
    return SURROUNDINGS[surrounding].replace("{}", secret.text)

"""HTTP GET for readiness questions and query APIs, without a proxy in between."""

from __future__ import annotations

import http.client
import json
import urllib.request
from typing import Any

# A proxy named in the environment would otherwise be asked for 127.0.0.1.
_OPENER = urllib.request.build_opener(urllib.request.ProxyHandler({}))


def get_text(url: str, *, timeout_s: float = 5.0) -> str:
    """Return the body of a 2xx answer.

    Raises:
        OSError: for a refused connection, a timeout, or any other status (`HTTPError`).
    """
    with _OPENER.open(url, timeout=timeout_s) as response:
        return response.read().decode("utf-8")


def get_json(url: str, *, timeout_s: float = 5.0) -> Any:
    """Return the decoded JSON body of a 2xx answer."""
    return json.loads(get_text(url, timeout_s=timeout_s))


def is_answering(url: str) -> bool:
    """Whether `url` gives a 2xx answer now."""
    try:
        get_text(url, timeout_s=2.0)
    except (OSError, http.client.HTTPException):
        return False
    return True

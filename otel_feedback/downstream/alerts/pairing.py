"""How the end of an alert closes what its beginning opened, and that no message is too long, by a service's own parameters.

    channel's URL, whether it is over, what belongs together ──► the URL that Apprise is given

PagerDuty has a key for both in Apprise. What Apprise closes at Opsgenie it names by the id of its request, which Opsgenie
takes and does nothing about: an alert's id is another one. So an end goes to Opsgenie's own address, by alias.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from urllib.parse import parse_qsl, quote, unquote, urlsplit

__all__ = ["paired"]

_OPENS = {"pagerduty": "action=map&dedup={dedup}", "opsgenie": "action=new&alias={dedup}"}
_NAMED_KEYS = re.compile(r"[?&](action|dedup|alias|entity)=")
_LENGTHS: Mapping[str, str] = {
    "pagerduty": "truncate",  # one event, whose summary is refused past 1,024 characters
    "opsgenie": "truncate",
    "workflow": "upstream",  # Teams takes 28 KB, of which Apprise would use 1
    "workflows": "upstream",
}


def paired(url: str, dedup: str, *, is_over: bool) -> str:
    """Return the URL by which one notification goes.

    Args:
        url: The channel's; what it says itself of keys and lengths counts.
        dedup: What belongs together.
        is_over: Whether this closes what was opened by the same `dedup`.
    """
    scheme = url.partition("://")[0].lower()
    opens = _OPENS.get(scheme)
    if opens is not None and not _NAMED_KEYS.search(url):
        if is_over and scheme == "opsgenie":
            return _closing(url, dedup)
        url = _with(url, opens.format(dedup=quote(dedup, safe="")))
    # longer than a service takes it would be refused again and again; in parts it all gets there
    return url if "overflow=" in url else _with(url, f"overflow={_LENGTHS.get(scheme, 'split')}")


def _closing(url: str, dedup: str) -> str:
    parts = urlsplit(url)
    asked = dict(parse_qsl(parts.query))
    key = asked.get("apikey") or unquote(parts.netloc.rpartition("@")[2])
    host = "api.eu.opsgenie.com" if asked.get("region", "").lower() == "eu" else "api.opsgenie.com"
    fields = (
        ":message=note&:title=&:type=&:version=&:attachments="  # its text is the note, and the rest nobody asked for
    )
    header = f"+Authorization={quote(f'GenieKey {key}', safe='')}"
    return f"jsons://{host}/v2/alerts/{quote(dedup, safe=':')}/close?-identifierType=alias&{header}&{fields}"


def _with(url: str, parameters: str) -> str:
    return f"{url}{'&' if '?' in url else '?'}{parameters}"

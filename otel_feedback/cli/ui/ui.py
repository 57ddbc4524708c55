"""`otel-feedback ui`: serves the page until Ctrl-C or SIGTERM. Exit code 0 when it was stopped; 1 when it could not begin."""

from __future__ import annotations

import socket
import sys
import webbrowser
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from rich.text import Text

from otel_feedback.cli.console import failed, open_console
from otel_feedback.cli.reading.source import answering
from otel_feedback.cli.storing.store import stopped_by_signals
from otel_feedback.cli.ui.giving import opened_door
from otel_feedback.cli.ui.place import opened, source_for
from otel_feedback.cli.ui.tokens import access_of, door_tokens_of, origins_of
from otel_feedback.errors import FeedbackError
from otel_feedback.settings.ui import UISettings, get_ui_settings

if TYPE_CHECKING:
    from otel_feedback.downstream.ui.access import Access
    from otel_feedback.downstream.ui.app import Shown
    from otel_feedback.downstream.ui.door import Door

__all__ = ["listen", "run", "show"]


def run(
    *, source: Sequence[str], bootstrap_servers: str | None, store: Path | None, host: str | None, port: str | None,
    tokens: Sequence[str], token_files: Sequence[Path], hosts: Sequence[str], jaeger: str | None, rules: str | None,
    state: str | None, opens: bool, selectors: Sequence[Path] = (), feedback_tokens: Sequence[str] = (),
    feedback_origins: Sequence[str] = (),
) -> int:  # fmt: skip
    """Serve, and return the exit code.

    Args:
        source: What `--from` says.
        bootstrap_servers: In place of the setting.
        store: Folder of the store that is written here; None: that of the settings, or for logs one that does not stay.
        host: Where to listen.
        port: Which port.
        tokens: What lets in; empty: of the settings, or asked for.
        token_files: Files with a token a line.
        hosts: Names that a proxy calls this by.
        jaeger: Jaeger's page.
        rules: The alerts' rules.
        state: Where alerts are kept.
        opens: Open a browser.
        selectors: Files that selectors share.
        feedback_tokens: What lets front ends give feedback; empty: of the settings, or nobody may.
        feedback_origins: Sites whose pages may.
    """

    def work() -> int:
        settings = get_ui_settings(host=host, port=port, jaeger=jaeger)
        access = access_of(settings, tokens, token_files, hosts)
        door_tokens = door_tokens_of(settings, feedback_tokens, access)
        origins = origins_of(settings, feedback_origins)
        listening = listen(settings)
        if listening is None:
            return 1
        asked = source_for(source, bootstrap_servers)
        with (
            listening,
            opened(asked, store, settings.jaeger, rules, state, selectors) as shown,
            opened_door(asked, door_tokens, origins, settings.feedback_rate) as door,
        ):
            show(listening, shown, access, door, opens=opens)
        return 0

    return answering(work)


def listen(settings: UISettings) -> socket.socket | None:
    """Return a socket that listens where the settings say; None where that cannot be, which is said."""
    from otel_feedback.downstream.ui.serving import bind

    try:
        return bind(settings.host, settings.port)
    except FeedbackError as exc:
        failed(str(exc), "end what listens there, or take another port: --port 0 takes one that is free")
        return None


def show(
    listening: socket.socket, shown: Shown, access: Access | None = None, door: Door | None = None, *, opens: bool,
    then: Callable[[str], None] | None = None,
) -> None:  # fmt: skip
    """Serve the page on a socket until a signal, and say where it is; `then` is told its address when that has been said."""
    from otel_feedback.downstream.ui.access import Access
    from otel_feedback.downstream.ui.app import make_app
    from otel_feedback.downstream.ui.serving import PageServer, address_of

    access = access or Access()
    address = address_of(listening)
    server = PageServer(*make_app(shown, access, listening.getsockname()[1], door), shown.mirror.interrupt)
    with stopped_by_signals(server.stop):
        _tell(address, shown.source, needs_token=bool(access.tokens), takes_feedback=door is not None)
        if then is not None:
            then(address)
        if opens:
            webbrowser.open(address)
        server.run(listening)


def _tell(address: str, source: str, *, needs_token: bool, takes_feedback: bool) -> None:
    console = open_console()
    line = Text(address, f"bold link {address}").append("  ", "not bold").append(source, "not bold dim")
    console.print(line, soft_wrap=True)
    if needs_token:
        console.print(Text("  the first time with its token: …/?token=TOKEN; then the browser knows it", "dim"))
    if takes_feedback:
        console.print(Text(f"  takes feedback: POST {address}feedback", "dim"))
    console.print(Text("  Ctrl-C ends", "dim"))
    sys.stdout.flush()

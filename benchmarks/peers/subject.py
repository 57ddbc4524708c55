"""A process in a peer's environment that records the same action over and over: by the peer, or as a bare SDK span."""

from __future__ import annotations

import contextlib
import importlib
import io
import logging
from collections.abc import Mapping
from importlib.metadata import version
from typing import Any

from benchmarks.children import arguments, serve
from benchmarks.peers.sdks.ready import Ready
from benchmarks.subjects import otlp


def _main() -> None:
    given = arguments()
    logging.disable()  # some say on stderr that this is no place that they know
    with contextlib.redirect_stdout(io.StringIO()):  # and some greet on stdout, where the answers go
        ready: Ready = importlib.import_module(f"benchmarks.peers.sdks.with_{given['subject']}").start(given["url"])

    def answer(request: Mapping[str, Any]) -> Mapping[str, Any]:
        if "packages" in request:
            return {name: version(name) for name in request["packages"]}
        return otlp.measure(ready.call, ready.flush, request["calls"])

    serve(answer)


if __name__ == "__main__":
    _main()

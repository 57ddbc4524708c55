"""The environments as fixtures, made before the first test: installing takes longer than a test may."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.beside.environments import NAMES, environment_of
from tests.model.server import ModelServer
from tests.stack.errors import ServiceUnavailable


@pytest.hookimpl(trylast=True)  # after the lines that say so
def pytest_collection_finish(session: pytest.Session) -> None:
    if session.config.getoption("collectonly"):
        return
    wanted = {name for item in session.items for name in getattr(item, "fixturenames", ())}
    for name in NAMES:
        if name in wanted:
            # what is not to be had is told by the fixture
            with contextlib.suppress(ServiceUnavailable):
                environment_of(name)


@pytest.fixture(scope="session")
def genai() -> Path:
    """The programs of an environment with OpenTelemetry's own instrumentation of openai."""
    return environment_of("genai")


@pytest.fixture(scope="session")
def servers() -> Path:
    """The programs of an environment with web servers, frameworks and task queues."""
    return environment_of("servers")


@pytest.fixture(scope="session")
def vendors() -> Path:
    """The programs of an environment with the vendors' SDKs."""
    return environment_of("vendors")


@pytest.fixture(scope="session")
def processes() -> Path:
    """The programs of an environment with Celery, uWSGI, gunicorn, gevent and eventlet."""
    return environment_of("processes")


@pytest.fixture(scope="session")
def running_server() -> Iterator[ModelServer]:
    with ModelServer() as server:
        yield server


@pytest.fixture
def server(running_server: ModelServer) -> ModelServer:
    """The model, and every vendor's endpoint; it has not heard from any vendor yet."""
    running_server.forget()
    return running_server


@pytest.fixture
def log(tmp_path: Path) -> Path:
    """Where events go."""
    return tmp_path / "outcomes.jsonl"

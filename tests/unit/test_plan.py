"""What a run of the suite says at its start, and what is in which part of it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.support import ROOT, environment

SERVICES = ["tests/beside", "tests/fault", "tests/integration", "tests/live"]


def collect(*arguments: str, **variables: str) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "--collect-only", "-p", "no:cacheprovider", *arguments],
        cwd=ROOT, env=environment(PYTEST_ADDOPTS="", **variables), capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode in (0, 5), done.stdout  # 5: nothing is left
    return done.stdout


def line(text: str, begins: str) -> str:
    return next(line for line in text.splitlines() if line.startswith(begins))


@pytest.fixture(scope="module")
def everything(tmp_path_factory: pytest.TempPathFactory) -> str:
    """What is said where nothing is kept from an earlier run."""
    return collect(*SERVICES, XDG_CACHE_HOME=str(tmp_path_factory.mktemp("empty")))


def test_it_says_what_it_starts_how_long_that_takes_and_how_much_disk_it_needs(everything: str) -> None:
    assert "min on two cores" in line(everything, "takes about")
    for name in ("Kafka", "Collector", "Jaeger", "beside-genai", "beside-vendors", "beside-oldest-sdk", "live"):
        assert name in line(everything, "starts ")
    first = line(everything, "without Docker fetches and builds first")
    assert "Jaeger" in first
    assert "GB of disk in" in first


def test_it_says_so_before_it_builds(everything: str, tmp_path: Path) -> None:
    """And only what is missing, and only what the chosen tests need."""
    chosen = collect("tests/integration/test_otlp_sink.py", XDG_CACHE_HOME=str(tmp_path))
    assert "fetches and builds" not in chosen
    assert not list(tmp_path.iterdir())


def test_the_quick_part_starts_nothing() -> None:
    told = collect("-m", "quick", "tests/examples", *SERVICES)
    assert "test_otlp_sink.py" not in told
    assert "\nstarts " not in told
    assert "test_quickstart_with_kafka" not in told
    assert "test_every_page_is_looked_at" in told


def test_the_part_for_each_change_has_something_of_each_service(everything: str) -> None:
    told = collect("-m", "not thorough", *SERVICES)
    # the oldest SDK and DuckDB are no services, but tests that are here once more
    assert line(told, "starts ").split(", ") == [
        name for name in line(everything, "starts ").split(", ") if "oldest-" not in name
    ]


def test_the_full_part_leaves_nothing_out() -> None:
    """It is the other one without the only choice that is made there."""
    run, full = ((ROOT / ".ci" / name).read_text("utf-8") for name in ("run", "full"))
    assert run.count(" -m 'not ") == run.count('if [[ "${FULL:-}" != true ]]') == 1
    assert "FULL=true exec" in full


def test_the_part_for_each_change_has_a_case_of_each_kind_by_the_other_client() -> None:
    told = collect("-q", "-m", "not thorough", "tests/fault", "tests/integration")
    by_confluent = [line for line in told.splitlines() if "[" in line and "confluent" in line]
    files = {line.partition("::")[0].rpartition("/")[2] for line in by_confluent}
    assert files == {
        "test_broker_refuses.py", "test_kafka.py", "test_kafka_lines.py", "test_kafka_refusals.py", "test_kafka_tokens.py",
        "test_kafka_too_large.py", "test_sender_process.py", "test_tenant_topics.py",
    }  # fmt: skip
    assert len(by_confluent) < 20


def test_the_part_for_each_change_has_a_process_that_sends_and_is_killed_and_meets_refusals() -> None:
    told = collect("-q", "-m", "not thorough", "tests/fault", "tests/integration")
    cases = {line.rpartition("/")[2] for line in told.splitlines() if "process" in line}
    assert cases >= {
        "test_kafka_refusals.py::test_events_of_any_date_arrive_at_once_with_their_own_time[process]",
        "test_kafka_too_large.py::test_nothing_overtakes_what_is_refused_first[process-confluent]",
        "test_sender_process.py::test_one_that_is_killed_is_followed_by_another[kafka-python]",
        "test_sender_process.py::test_what_is_refused_is_kept_whole_and_the_rest_goes_on[confluent]",
        "test_tenant_topics.py::test_each_tenant_has_a_topic_of_its_own[process]",
    }

"""Prefork servers, pools and recycled workers: parent and children each own a journal, nothing is lost, nothing hangs."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import textwrap
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from otel_feedback.journal.folder import folders
from tests.stack.processes import free_port
from tests.stack.waiting import wait_until
from tests.support import environment, run_python

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this platform")


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return tmp_path / "outcomes.jsonl"


def variables(log: Path, **more: str) -> dict[str, str]:
    return {
        "OTEL_TRACES_EXPORTER": "none", "OTEL_FEEDBACK_LOG_FILE": str(log), "OTEL_SERVICE_NAME": "agents",
        "OTEL_FEEDBACK_JOURNAL_RESCAN_INTERVAL": "0.1", "OTEL_FEEDBACK_LOG_MAX_BYTES": str(2**30), **more,
    }  # fmt: skip


def outcomes(log: Path) -> dict[str, list[str]]:
    """Return the event ids by action type, without repeats."""
    found: dict[str, dict[str, Any]] = {}
    for line in log.read_text("utf-8").splitlines():
        event = json.loads(line)
        found.setdefault(event["action_type"], {})[event["event_id"]] = event
    return {kind: list(events) for kind, events in found.items()}


POOL = """
    import multiprocessing, os, sys
    import otel_feedback as feedback

    def work(number):
        feedback.configure() if {method!r} != "fork" else None
        with feedback.action("task", metadata={{"number": number}}): pass
        return os.getpid()

    if __name__ == "__main__":
        pipeline = feedback.configure()
        with feedback.action("before"): pass
        context = multiprocessing.get_context({method!r})
        with context.Pool(3, maxtasksperchild=4) as pool:
            pids = set(pool.imap_unordered(work, range(40), chunksize=1))
            pool.close()
            pool.join()
        assert len(pids) >= 5, pids
        with feedback.action("after"): pass
        pipeline.shutdown(20)
"""


@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
@pytest.mark.filterwarnings("ignore")
def test_pools_whose_workers_are_recycled_lose_nothing(method: str, log: Path, tmp_path: Path) -> None:
    """A worker of multiprocessing ends without running exit handlers: its journal is its parent's to deliver."""
    program = tmp_path / "pool.py"  # spawned workers import the file
    program.write_text(textwrap.dedent(POOL.format(method=method)))
    done = subprocess.run(
        [sys.executable, "-W", "ignore", str(program)], env=environment(**variables(log)), capture_output=True, text=True,
        check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    seen = outcomes(log)
    assert {kind: len(ids) for kind, ids in seen.items()} == {"before": 1, "task": 40, "after": 1}
    assert folders(tmp_path / "state" / "otel-feedback" / "agents") == []


def test_a_child_that_outlives_its_parent_does_not_keep_its_lock(log: Path, tmp_path: Path) -> None:
    """With the parent's lock still open it could not take it, not even itself: flock belongs to the open file."""
    log.mkdir()  # nothing can be delivered yet
    parent = """
        import os, signal, sys, time
        import otel_feedback as feedback
        feedback.configure()
        with feedback.action("parent"): pass
        if not (child := os.fork()):
            with feedback.action("child"): pass
            sys.stdin.read()  # until the test lets go
            os._exit(0)
        print(child, flush=True)
        time.sleep(0.2)
        os.kill(os.getpid(), signal.SIGKILL)
    """
    read, write = os.pipe()
    with subprocess.Popen(
        [sys.executable, "-W", "ignore", "-c", textwrap.dedent(parent)],
        env=environment(**variables(log)), stdin=read, stdout=subprocess.PIPE, text=True,
    ) as process:  # fmt: skip
        os.close(read)
        assert process.stdout is not None
        child = int(process.stdout.readline())
        process.wait()
        try:
            assert len(folders(tmp_path / "state" / "otel-feedback" / "agents")) == 2
            log.rmdir()
            wait_until(
                lambda: log.exists() and "parent" in outcomes(log), timeout_s=20, what="the child to adopt its parent"
            )
            os.kill(child, 0)  # it lives
        finally:
            os.close(write)
    wait_until(lambda: not is_alive(child), timeout_s=20, what="the child to end")


def is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return Path(f"/proc/{pid}/stat").read_text().split()[2] != "Z" if Path("/proc").exists() else True


APPLICATION = """
import os
import otel_feedback as feedback
feedback.configure()
with feedback.action("loaded"): pass

def application(environ, start_response):
    with feedback.action("request"):
        start_response("200 OK", [("Content-Type", "text/plain")])
    return [str(os.getpid()).encode()]
"""


@pytest.fixture
def server(log: Path, tmp_path: Path) -> Iterator[tuple[str, subprocess.Popen[bytes]]]:
    """gunicorn with the application loaded before the fork, and workers that are recycled."""
    (tmp_path / "application.py").write_text(APPLICATION)
    address = f"127.0.0.1:{free_port()}"
    command = [
        sys.executable, "-W", "ignore", "-m", "gunicorn", "--preload", "--workers", "2", "--max-requests", "20", "--bind",
        address, "--chdir", str(tmp_path), "application:application",
    ]  # fmt: skip
    with subprocess.Popen(command, env=environment(**variables(log)), stderr=subprocess.DEVNULL) as process:
        wait_until(lambda: answers(address), timeout_s=30, what="gunicorn to answer")
        yield address, process
        process.kill()


def answers(address: str) -> bool:
    try:
        return bool(ask(address))
    except OSError:
        return False


def ask(address: str) -> int:
    with urllib.request.urlopen(f"http://{address}/", timeout=10) as answer:
        return int(answer.read())


def test_gunicorn_with_prefork_loses_nothing(
    server: tuple[str, subprocess.Popen[bytes]], log: Path, tmp_path: Path
) -> None:
    address, process = server
    asked, pids = 1, set[int]()
    for _ in range(100):
        try:
            pid = ask(address)
        except OSError:  # the one that was killed, or is being recycled
            continue
        asked += 1
        pids.add(pid)
        if asked == 50:
            os.kill(pid, signal.SIGKILL)
    assert len(pids) >= 3, "workers were recycled"
    process.send_signal(signal.SIGTERM)
    assert process.wait() == 0
    root = tmp_path / "state" / "otel-feedback" / "agents"
    if folders(root):  # the last worker that ended without running exit handlers
        run_python(
            "import otel_feedback, time\np = otel_feedback.configure()\ntime.sleep(1)\np.shutdown(10)", variables(log)
        )
    seen = outcomes(log)
    assert len(seen["loaded"]) == 1
    assert len(seen["request"]) >= asked
    assert folders(root) == []


@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
def test_a_pool_that_is_closed_sends_nothing_twice(method: str, log: Path, tmp_path: Path) -> None:
    """Its workers end at once, with what they have acknowledged, or have not sent yet; nobody has to say so."""
    program = tmp_path / "pool.py"
    program.write_text(textwrap.dedent(CLOSED.format(method=method)))
    done = subprocess.run(
        [sys.executable, str(program)], env=environment(**variables(log, OTEL_FEEDBACK_JOURNAL_RESCAN_INTERVAL="3600")),
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")
    assert sorted(numbers(log)) == list(range(61))
    assert folders(tmp_path / "state" / "otel-feedback" / "agents") == []


def numbers(log: Path) -> list[int]:
    return [json.loads(line)["metadata"]["number"] for line in log.read_text("utf-8").splitlines()]


CLOSED = """
    import multiprocessing
    import otel_feedback as feedback

    def work(number):
        with feedback.action("task", metadata={{"number": number}}): pass

    if __name__ == "__main__":
        feedback.configure()
        pool = multiprocessing.get_context({method!r}).Pool(4, {method!r} != "fork" and feedback.configure or None)
        pool.map(work, range(61), chunksize=1)
        pool.close()
        pool.join()
"""


def test_children_of_a_pool_whose_destination_is_away_do_not_wait_for_it_each(log: Path, tmp_path: Path) -> None:
    """One tries for as long as an end may take; then none does for a while, and the pool keeps its pace."""
    log.mkdir()
    program = """
        import multiprocessing
        import otel_feedback as feedback

        def work(number):
            with feedback.action("task", metadata={"number": number}): pass

        pipeline = feedback.configure()
        with multiprocessing.get_context("fork").Pool(1, maxtasksperchild=1) as pool:
            pool.map(work, range(12), chunksize=1)
            pool.close()
            pool.join()
        pipeline.shutdown(0)
    """
    done = run_python(program, variables(log, OTEL_FEEDBACK_JOURNAL_RESCAN_INTERVAL="3600"))
    assert done.returncode == 0, done.stderr
    assert done.stderr.count("not delivered to log") == 1, done.stderr
    left = folders(tmp_path / "state" / "otel-feedback" / "agents")
    assert len(left) == 12
    log.rmdir()
    following = run_python(
        "import otel_feedback, time\np = otel_feedback.configure()\ntime.sleep(1)\np.shutdown(20)", variables(log)
    )
    assert sorted(numbers(log)) == list(range(12))
    assert "undelivered" in following.stderr, "of the one that tried in vain"
    assert following.stderr.count("undelivered") == 1, following.stderr


def test_a_fork_that_python_does_not_see_is_noticed_by_the_first_action(log: Path, tmp_path: Path) -> None:
    """As servers in C fork, before there are threads: no hook runs. Parent and child are killed; nothing is lost."""
    log.mkdir()  # nothing can be delivered yet
    program = """
        import ctypes, os, signal, time
        import otel_feedback as feedback
        pipeline = feedback.configure()
        fork = ctypes.PyDLL(None).fork

        def act(count):
            for number in range(count):
                with feedback.action("task", metadata={"number": number}): pass
            return pipeline.metrics()

        before = pipeline.metrics()
        for way in "acts", "ends", "asks":
            if not (child := fork()):
                if way == "asks":  # and is told of itself
                    os._exit(0 if pipeline.metrics()["producer_id"] != before["producer_id"] else 3)
                if way == "ends":  # without an action of its own, as by an exit handler
                    os._exit(0 if pipeline.shutdown(5) else 3)
                told = act(5)
                assert told["producer_id"] != before["producer_id"]
                assert (told["recorded"], told["journal"]["kind"], told["journal"]["problem"]) == (5, "disk", None), told
                os.kill(os.getpid(), signal.SIGKILL)
            assert os.waitpid(child, 0)[1] == (signal.SIGKILL if way == "acts" else 0)
        told = act(10)
        assert (told["producer_id"], told["recorded"], told["journal"]["problem"]) == (before["producer_id"], 10, None), told
        os.kill(os.getpid(), signal.SIGKILL)
    """
    done = run_python(program, variables(log, OTEL_FEEDBACK_JOURNAL_RESCAN_INTERVAL="3600"))
    assert done.returncode == -signal.SIGKILL, done.stderr
    assert len(folders(tmp_path / "state" / "otel-feedback" / "agents")) == 2
    log.rmdir()
    run_python(
        "import otel_feedback, time\np = otel_feedback.configure()\ntime.sleep(1)\np.shutdown(20)", variables(log)
    )
    assert sorted(numbers(log)) == sorted([*range(5), *range(10)])
    assert {json.loads(line)["status"] for line in log.read_text("utf-8").splitlines()} == {"success"}


def test_an_action_that_was_open_at_a_fork_is_the_parents_to_end(log: Path) -> None:
    """Also where the child leaves its block, as `sys.exit()` does: it would say other things by the same id and revision."""
    program = """
        import os, sys
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import SimpleSpanProcessor
        from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
        import otel_feedback as feedback

        spans = InMemorySpanExporter()
        provider = TracerProvider()
        provider.add_span_processor(SimpleSpanProcessor(spans))
        pipeline = feedback.configure(tracer_provider=provider)
        child = -1
        try:
            with feedback.action("outer"), feedback.action("inner") as inner:
                child = os.fork()
                with feedback.action("below"):
                    inner.add_usage(input_tokens=1)
                if not child:
                    inner.fail("as the child sees it")
                    sys.exit("that is not how it went")
                assert os.waitpid(child, 0)[1] == 0
        finally:
            names = sorted(span.name for span in spans.get_finished_spans())
            with feedback.action("beside"): pass
            done = pipeline.shutdown(20)
            if not child:
                os._exit(0 if done and names == ["below"] else 3)
        assert names == ["below", "inner", "outer"], names
    """
    done = run_python(program, variables(log))
    assert done.returncode == 0, done.stderr
    found = [json.loads(line) for line in log.read_text("utf-8").splitlines()]
    of_parent = [(one["action_type"], one["status"]) for one in found if one["action_type"] in ("outer", "inner")]
    assert sorted(of_parent) == [("inner", "success"), ("outer", "success")]
    inner = next(one for one in found if one["action_type"] == "inner")
    assert [one["parent_event_id"] for one in found if one["action_type"] == "below"] == [inner["event_id"]] * 2
    assert ["parent_event_id" in one for one in found if one["action_type"] == "beside"] == [False] * 2


def test_what_cannot_be_renewed_in_a_child_keeps_nothing_else_from_it(log: Path) -> None:
    """Whether Python calls us after the fork, or the child's first action does."""
    program = """
        import ctypes, os
        import otel_feedback as feedback
        from otel_feedback.sdk.forks import call_in_child

        call_in_child(lambda: 1 / 0)
        pipeline = feedback.configure()
        for fork in os.fork, ctypes.PyDLL(None).fork:
            if not (child := fork()):
                with feedback.action("child"): pass
                os._exit(0 if pipeline.shutdown(20) else 3)
            assert os.waitpid(child, 0)[1] == 0
        with feedback.action("parent"): pass
        pipeline.shutdown(20)
    """
    done = run_python(program, variables(log))
    assert done.returncode == 0, done.stderr
    assert {kind: len(events) for kind, events in outcomes(log).items()} == {"child": 2, "parent": 1}
    assert done.stderr.count("ZeroDivisionError") == 2, done.stderr


def test_uwsgis_master_waits_for_nothing_that_only_its_workers_do(log: Path) -> None:
    """It has no threads: neither for its own events nor for what a dead process left."""
    log.mkdir()
    ends = "with feedback.action('before'): pass\nimport os\nos._exit(0)"
    run_python(f"import otel_feedback as feedback\nfeedback.configure()\n{ends}", variables(log))
    log.rmdir()
    program = """
        import os, sys, threading, types

        uwsgi = sys.modules["uwsgi"] = types.ModuleType("uwsgi")
        uwsgi.worker_id, uwsgi.masterpid = lambda: 0, os.getpid
        import otel_feedback as feedback

        pipeline = feedback.configure()
        with feedback.action("load"): pass
        assert [thread.name for thread in threading.enumerate() if thread.name.startswith("otel-feedback")] == []
        assert pipeline.force_flush(3600) is False
        assert pipeline.shutdown(3600) is False
    """
    done = run_python(program, variables(log))
    assert done.returncode == 0, done.stderr
    run_python(
        "import otel_feedback, time\np = otel_feedback.configure()\ntime.sleep(1)\np.shutdown(20)", variables(log)
    )
    assert {kind: len(events) for kind, events in outcomes(log).items()} == {"before": 1, "load": 1}


def test_a_fork_waits_for_a_client_that_connects_and_not_for_long() -> None:
    """It looks up its hosts then, by a lock of the C library's that a child would have for good."""
    done = run_python(
        """
        import os, threading, time, warnings
        warnings.simplefilter("ignore", DeprecationWarning)
        from otel_feedback.sdk import forks
        from otel_feedback.sdk.forks import connecting

        forks.FORKS_WAIT_S = 1.0  # a busy machine takes some of a tenth to fork

        def connect(seconds):
            with connecting():
                is_connecting.set()
                time.sleep(seconds)
                connected.append(seconds)

        def fork():
            begun_s = time.monotonic()
            child = os.fork()
            took_s = time.monotonic() - begun_s
            if not child:
                begun_s = time.monotonic()
                if not os.fork():
                    os._exit(0)
                # of what its parent waits for there is nothing here
                os._exit(0 if time.monotonic() - begun_s < 0.8 else 1)
            assert os.waitpid(child, 0)[1] == 0
            return took_s

        connected = []
        for seconds in (0.02, 60):
            is_connecting = threading.Event()
            threading.Thread(target=connect, args=[seconds], daemon=True).start()
            assert is_connecting.wait(10)
            print(f"{fork():.3f}", connected)
        print(f"{fork():.3f}")
        """
    )
    assert done.returncode == 0, done.stderr
    soon, late, again = done.stdout.splitlines()
    assert soon.endswith(" [0.02]"), "it waits until that is over"
    assert 0.5 < float(late.split()[0]) < 20, "and for what takes long as long as it may"
    assert float(again) < 0.8, "from its beginning"

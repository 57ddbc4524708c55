"""An experiment from end to end: a service asks, another inherits, log files, a store, and the comparison that is right."""

from __future__ import annotations

import json
import subprocess
import sys
from collections import Counter
from pathlib import Path

from tests.logs import lines_in
from tests.support import environment, run_cli

USERS = 400

SECOND = """
import sys, threading
from http.server import BaseHTTPRequestHandler, HTTPServer
import otel_feedback as feedback

pipeline = feedback.configure(service_name="second")

class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        with feedback.extract(self.headers):
            with feedback.action("search", agent="searcher") as act:
                act.add_usage(model="m", cost=0.5)
            with feedback.action("rank", agent="ranker") as act:
                chosen = feedback.variant("prompt-7", {"a": 0.5, "b": 0.5})
                act.add_usage(model="m", cost=0.03 if chosen == "b" else 0.01)
        self.send_response(200)
        self.send_header("Content-Length", "1")
        self.end_headers()
        self.wfile.write(chosen.encode())

    def log_message(self, *_):
        pass

server = HTTPServer(("127.0.0.1", 0), Handler)
print(server.server_port, flush=True)
threading.Thread(target=server.serve_forever, daemon=True).start()
sys.stdin.readline()
"""

FIRST = """
import http.client, json, sys
import otel_feedback as feedback

feedback.configure(service_name="first")
connection = http.client.HTTPConnection("127.0.0.1", int(sys.argv[1]), timeout=60)
for number in range(int(sys.argv[2])):
    for _ in range(1 + number % 2):
        with feedback.action("answer", agent="writer", user_id=f"u-{number}") as act:
            chosen = feedback.variant("prompt-7", {"a": 0.5, "b": 0.5}, unit=f"u-{number}")
            connection.request("GET", "/", headers=dict(feedback.inject()))
            assert connection.getresponse().read().decode() == chosen
            if chosen == "b" and number % 3 == 0:
                act.fail("no")
    print(chosen)
"""


def run_services(folder: Path) -> Counter[str]:
    """Run both until all users were served; return how many got which variant."""

    def variables(service: str) -> dict[str, str]:
        log = str(folder / f"{service}.jsonl")
        return environment(
            OTEL_TRACES_EXPORTER="none", OTEL_FEEDBACK_LOG_FILE=log, OTEL_FEEDBACK_BAGGAGE_FIELDS="experiment"
        )

    with subprocess.Popen(
        [sys.executable, "-c", SECOND],
        env=variables("second"),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as second:
        try:
            assert second.stdout is not None
            port = second.stdout.readline().strip()
            first = subprocess.run(
                [sys.executable, "-c", FIRST, port, str(USERS)], env=variables("first"), capture_output=True, text=True, check=False
            )  # fmt: skip
            assert first.returncode == 0, first.stderr
            second.communicate("\n")
            assert second.returncode == 0
        finally:
            second.kill()
    return Counter(first.stdout.split())


def test_two_services_and_what_their_experiment_came_to(tmp_path: Path) -> None:
    users = run_services(tmp_path)
    logs = [tmp_path / "first.jsonl", tmp_path / "second.jsonl"]
    events = [event for log in logs for event in lines_in(log)]
    of_traces: dict[str, set[tuple[str, float]]] = {}
    for event in events:
        of_traces.setdefault(event["trace_id"], set()).add((event["variant"], event["propensity"]))
    assert len(events) == 3 * 1.5 * USERS
    assert all(len(told) == 1 for told in of_traces.values()), (
        "one variant in a trace, with the propensity of who drew it"
    )

    from_logs = run_cli("compare", "--experiment", "prompt-7", "--json", *(f"--from={log}" for log in logs))
    assert from_logs.returncode == 0, from_logs.stderr
    told = json.loads(from_logs.stdout)
    answer, rank = told["actions"]
    assert (answer["action_type"], rank["action_type"]) == ("answer", "rank"), "a search asked for nothing"
    assert answer["units"] == dict(users)
    assert (told["assignment"]["counted_by"], told["assignment"]["is_mismatch"]) == ("units", False)
    metrics = {one["metric"]: one for one in answer["metrics"]}
    share_of_failures = sum(1 for n in range(USERS) if n % 3 == 0) / USERS
    mean = {
        name: {one["variant"]: round(one["mean"], 9) for one in metrics[name]["variants"]}
        for name in ("success", "cost")
    }
    assert mean["success"]["a"] == 1.0
    assert abs(1 - mean["success"]["b"] - share_of_failures) < 0.15
    assert metrics["success"]["differences"][0]["verdict"] == "worse"
    assert mean["cost"]["a"] == mean["cost"]["b"] == 0.5, "what searching cost elsewhere"
    cost_of_rank = {one["variant"]: one["mean"] for one in rank["metrics"][-2]["variants"]}
    assert {name: round(cost, 9) for name, cost in cost_of_rank.items()} == {"a": 0.01, "b": 0.03}

    folder = tmp_path / "store"
    stored = run_cli("store", "--once", "--store", str(folder), *(f"--from={log}" for log in logs))
    assert stored.returncode == 0, stored.stderr
    from_store = run_cli("compare", "--experiment", "prompt-7", "--json", "--from", str(folder))
    assert from_store.returncode == 0, from_store.stderr
    again = json.loads(from_store.stdout)
    assert [one["units"] for one in again["actions"]] == [one["units"] for one in told["actions"]]
    again_b, b = (each["actions"][0]["metrics"][0]["variants"][1] for each in (again, told))
    assert (again_b["variant"], round(again_b["mean"], 9)) == ("b", round(b["mean"], 9))

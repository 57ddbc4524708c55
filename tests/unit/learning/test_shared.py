"""One file for several selectors: in one process, in several, killed in the middle of anything, begun anew, harmed."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

from otel_feedback import AgentSelector, Reward
from otel_feedback.learning.selector.state import FOLLOWER, State, StateFile
from tests.support import ROOT, environment, run_python
from tests.unit.learning.learner import AGENTS
from tests.unit.learning.simulated import Clock, event_of


def selector_of(path: Path, clock: Clock | None = None, **options: object) -> AgentSelector:
    return AgentSelector(AGENTS, **{"state": path, "refresh_s": None, "clock": clock or Clock(), "seed": 1, **options})  # pyright: ignore[reportArgumentType]


def teach(selector: AgentSelector, agent: str, times: int, reward: float = 1.0) -> None:
    choice = next(choice for choice in iter(selector.choose, None) if choice.name == agent)
    for _ in range(times):
        choice.learn(reward)
    selector.refresh()


def state_in(path: Path) -> State:
    state = StateFile(path).read()
    assert state is not None
    return state


def learner(path: Path, agent: str, *more: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "tests.unit.learning.learner", str(path), agent, *more]
    return subprocess.Popen(command, cwd=ROOT, env=environment(), stdout=subprocess.PIPE, text=True)


def test_what_one_learns_the_others_know(tmp_path: Path) -> None:
    path = tmp_path / "selector.json"
    one, other = selector_of(path), selector_of(path)
    teach(one, "a", 30)
    teach(one, "b", 30, 0.0)
    other.refresh()
    assert other.probabilities == pytest.approx(one.probabilities)
    assert other.probabilities["a"] > 0.6
    teach(other, "a", 5)
    one.refresh()
    assert (one.policy, state_in(path).agents["a"].outcomes) == (other.policy, 35)
    assert selector_of(path).probabilities == pytest.approx(one.probabilities)


def test_the_file_is_for_people_too(tmp_path: Path) -> None:
    path = tmp_path / "selector.json"
    selector = selector_of(path, objective=Reward(cost_weight=0.1), floor=0.3)
    teach(selector, "a", 9)
    told = json.loads(path.read_text())
    assert told["schema_version"] == "1.0"
    assert told["objective"] == {"cost_weight": 0.1, "latency_weight": 0.0}
    assert (told["floor"], told["half_life_s"], told["version"]) == (0.3, 3_600.0, 1)
    assert told["agents"]["a"] == {
        "probability": pytest.approx(selector.probabilities["a"]), "mean": pytest.approx(10 / 11), "successes": 9.0,
        "failures": 0.0, "outcomes": 9, "feedback": 0,
    }  # fmt: skip


def test_processes_that_are_killed_lose_nothing_that_they_wrote_and_hold_up_nobody(tmp_path: Path) -> None:
    """Three write at once without a pause, so a kill comes in the middle of reading, writing and renaming, as it happens."""
    path = tmp_path / "selector.json"
    said: dict[str, int] = dict.fromkeys(AGENTS, 0)
    for kill in range(3):
        processes = {agent: learner(path, agent) for agent in AGENTS}
        written = dict.fromkeys(AGENTS, 0)
        try:
            for agent, process in processes.items():
                assert process.stdout is not None
                for line in process.stdout:  # until it has written some
                    written[agent] = int(line)
                    if written[agent] >= 5 + kill:
                        break
        finally:
            for process in processes.values():
                process.kill()
        for agent, process in processes.items():
            assert process.stdout is not None
            # the last line may be cut; what was written in between two of them may or may not be in the file
            lines = process.stdout.read().splitlines()
            process.stdout.close()
            process.wait()
            said[agent] += max([written[agent], *(int(line) for line in lines[:-1])])
        agents = state_in(path).agents
        for agent in AGENTS:
            # the kill may come between the writing and the saying of it
            assert said[agent] <= agents[agent].outcomes <= said[agent] + 2
            assert agents[agent].successes == pytest.approx(agents[agent].outcomes)
            said[agent] = agents[agent].outcomes


def test_a_kill_in_the_middle_of_writing_leaves_the_file_as_it_was(tmp_path: Path) -> None:
    path = tmp_path / "selector.json"
    process = learner(path, "a", "hang")
    assert process.stdout is not None
    assert [process.stdout.readline().strip() for _ in range(3)] == ["1", "2", "hangs"]
    half = path.with_name("selector.json.new").read_bytes()
    assert len(half) == 40
    process.send_signal(signal.SIGKILL)
    process.wait()
    process.stdout.close()
    assert state_in(path).agents["a"].outcomes == 2
    teach(selector_of(path), "a", 3)
    assert state_in(path).agents["a"].outcomes == 5


def test_who_finds_the_file_held_goes_on_and_writes_later(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = tmp_path / "selector.json"
    selector = selector_of(path)
    process = learner(path, "b", "hang")
    assert process.stdout is not None
    assert [process.stdout.readline().strip() for _ in range(3)] == ["1", "2", "hangs"]
    teach(selector, "a", 30)
    assert "another process holds" in caplog.text
    assert selector.probabilities["a"] > 0.8
    process.kill()
    process.wait()
    process.stdout.close()
    selector.refresh()
    agents = state_in(path).agents
    assert (agents["a"].outcomes, agents["b"].outcomes) == (30, 2)


def test_a_program_that_ends_has_written_what_it_learned(tmp_path: Path) -> None:
    path = tmp_path / "selector.json"
    program = f"""
    from otel_feedback import AgentSelector
    selector = AgentSelector(["a"], state={str(path)!r})
    for _ in range(7):
        selector.choose().learn(1.0)
    """
    done = run_python(program)
    assert (done.returncode, done.stderr) == (0, "")
    assert state_in(path).agents["a"].outcomes == 7


def test_a_forked_child_learns_for_itself_and_draws_other_numbers(tmp_path: Path) -> None:
    path = tmp_path / "selector.json"
    program = f"""
    import os
    from otel_feedback import AgentSelector
    selector = AgentSelector(list("abcdefgh"), state={str(path)!r})
    selector.choose().learn(1.0)           # the parent's to write
    children = []
    for _ in range(2):
        read, write = os.pipe()
        child = os.fork()
        if child == 0:
            names = "".join(selector.choose().name for _ in range(40))
            selector.choose().learn(0.0)
            selector.close()
            os.write(write, names.encode())
            os._exit(0)
        os.close(write)
        children.append(os.read(read, 100))
        os.waitpid(child, 0)
    assert children[0] != children[1] and len(children[0]) == 40, children
    """
    done = run_python(program)
    assert (done.returncode, done.stderr) == (0, "")
    agents = state_in(path).agents.values()
    assert sum(agent.outcomes for agent in agents) == 3
    assert sum(agent.failures for agent in agents) == pytest.approx(2.0, abs=0.1)


def test_begun_anew_by_somebody_else_what_was_taught_before_is_gone(tmp_path: Path) -> None:
    path, clock = tmp_path / "selector.json", Clock()
    selector = selector_of(path, clock)
    choice = next(choice for choice in iter(selector.choose, None) if choice.name == "a")
    choice.learn(event_of("a", clock.moment, event_id="one"))
    selector.refresh()
    StateFile(path).update(lambda known: State(version=9))
    selector.refresh()
    assert (selector.policy, selector.probabilities["a"]) == ("thompson:9", pytest.approx(1 / 3))
    # a correction of what nobody believes any more would take away what was never there
    choice.learn(event_of("a", clock.moment, success=False, event_id="one", revision=2))
    selector.refresh()
    known = state_in(path).agents["a"]
    assert (known.outcomes, known.successes, known.failures) == (1, 0.0, 1.0)


def test_a_file_that_is_removed_is_begun_anew(tmp_path: Path) -> None:
    path = tmp_path / "selector.json"
    selector = selector_of(path)
    teach(selector, "a", 20)
    path.unlink()
    selector.refresh()
    assert selector.probabilities["a"] == pytest.approx(1 / 3)
    teach(selector, "b", 2)
    assert state_in(path).agents.keys() == {"b"}


def test_what_a_follower_writes_is_read_and_nothing_is_added(tmp_path: Path) -> None:
    path = tmp_path / "selector.json"
    teacher = selector_of(tmp_path / "other.json")
    teach(teacher, "a", 40)
    teach(teacher, "b", 40, 0.0)
    path.write_bytes(msgspec.structs.replace(teacher.state(), learned_from=FOLLOWER).to_json())
    selector = selector_of(path)
    assert selector.probabilities == pytest.approx(teacher.probabilities)
    teach(selector, "c", 30)
    assert "c" not in state_in(path).agents
    assert selector.probabilities == pytest.approx(teacher.probabilities)


@pytest.mark.parametrize("harm", [b"", b"{", b'{"agents": 7}', b'{"schema_version": "2.0"}'])
def test_a_file_that_cannot_be_read_is_left_alone_and_said(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, harm: bytes
) -> None:
    path = tmp_path / "selector.json"
    path.write_bytes(harm)
    selector = selector_of(path)
    teach(selector, "a", 30)
    assert selector.probabilities["a"] > 0.8
    assert path.read_bytes() == harm
    assert str(path) in caplog.text


@pytest.mark.skipif(os.geteuid() == 0 and not Path("/proc/self").exists(), reason="root may write anywhere")
def test_a_place_that_cannot_be_written_keeps_nobody_from_choosing(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    selector = selector_of(Path("/proc/self/no-such/selector.json") if os.geteuid() == 0 else tmp_path / "a")
    teach(selector, "a", 30)
    assert selector.probabilities["a"] > 0.8


def test_another_objective_is_said(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = tmp_path / "selector.json"
    teach(selector_of(path), "a", 1)
    selector_of(path, objective=Reward(latency_weight=0.5))
    assert "was learned by Reward(cost_weight=0.0, latency_weight=0.0)" in caplog.text

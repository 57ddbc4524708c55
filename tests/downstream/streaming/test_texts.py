"""What the SQL client is given: the store's own SELECTs, state that outlives journals, and nothing secret."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest

from otel_feedback import ConfigError
from otel_feedback.cli.main import main
from otel_feedback.cli.streaming.arguments import JOBS as CHOICES
from otel_feedback.downstream.streaming.local import Flink, FlinkError, LocalJob, find_flink, newest_checkpoint
from otel_feedback.downstream.streaming.security import PASSWORD, java_options
from otel_feedback.downstream.streaming.texts import JOBS, Options, text
from otel_feedback.downstream.tables.opening import open_log
from otel_feedback.downstream.tables.tables import text_of
from otel_feedback.events.fields import FIELDS

OPTIONS = Options("localhost:9092")
DAY = 86_400


def select(view: str, window_s: int = 300) -> str:
    return "\n".join(line for line in text_of(view, window_s).splitlines() if not line.startswith("--"))


def test_each_file_is_a_job_and_each_job_a_choice() -> None:
    folder = Path(text.__code__.co_filename).parent / "jobs"
    assert {path.stem for path in folder.glob("*.sql")} == set(JOBS) == set(CHOICES)


@pytest.mark.parametrize("job", JOBS)
def test_a_job_is_whole(job: str) -> None:
    made = text(job, OPTIONS)
    assert not re.search(r"\$\w|\{\{", made)
    statements = made.rstrip().split("EXECUTE STATEMENT SET BEGIN\n")
    assert len(statements) == 2
    assert statements[1].endswith("END;\n".rstrip())
    assert statements[1].count("INSERT INTO") == 2, "its rows, and what is refused"
    assert f"'topic' = '{JOBS[job].topic}'" in made


@pytest.mark.parametrize("window_s", [300, 60])
def test_the_selects_are_the_stores(window_s: int) -> None:
    made = text("windows", OPTIONS._replace(window_s=window_s))
    for view in ("outcomes", "windows"):
        assert f"CREATE TEMPORARY VIEW {view} AS\n{select(view, window_s)};" in made
    assert f"/ {window_s}) * {window_s}" in made


def test_a_table_of_windows_has_the_columns_of_the_view(tmp_path: Path) -> None:
    """In its order, since Flink puts the columns of a SELECT into a table by their places; it has nothing of feedback."""
    (tmp_path / "empty.jsonl").touch()
    with open_log([tmp_path / "empty.jsonl"]) as tables:
        columns = [name for name, *_ in tables.query("DESCRIBE windows_alone")]
    table = text("windows", OPTIONS).partition("CREATE TEMPORARY TABLE metrics (")[2].partition("PRIMARY KEY")[0]
    assert re.findall(r"`(\w+)`", table) == ["window_key", *columns, "conditions"]
    every = text("outcomes_latest", OPTIONS).partition("CREATE TEMPORARY TABLE outcomes_latest (")[2]
    assert re.findall(r"^ {4}`(\w+)`", every, re.MULTILINE) == [field.name for field in FIELDS]


def test_state_outlives_every_event_that_is_counted() -> None:
    made = text("windows", OPTIONS._replace(ttl_s=9 * DAY))
    assert f"SET 'table.exec.state.ttl' = '{9 * DAY} s';" in made
    assert f"EXTRACT(EPOCH FROM CURRENT_TIMESTAMP) - {9 * DAY - 300 - 3_600} THEN 'too_old'" in made


def test_state_that_journals_outlive_is_refused() -> None:
    with pytest.raises(ConfigError, match="ttl='7d': expected at least 7d 1h 5m: journals keep events for 7d"):
        text("windows", OPTIONS._replace(ttl_s=7 * DAY))
    with pytest.raises(ConfigError, match="ttl='8d': expected at least 30d 1h 5m"):
        text("windows", OPTIONS._replace(retention_s=30 * DAY))
    assert text("windows", OPTIONS._replace(ttl_s=7 * DAY + 3_900))
    with pytest.raises(ConfigError, match="at least 7d 2h"):
        text("windows", OPTIONS._replace(ttl_s=7 * DAY + 3_900, window_s=3_600))


def test_the_conditions_are_those_of_the_default_rules() -> None:
    made = text("alerts", OPTIONS)
    assert (
        "CASE WHEN executions >= 20 AND CAST(failures + timeouts AS DOUBLE) / executions > 0.1 THEN 'errors' END"
        in made
    )
    assert "CASE WHEN executions >= 20 AND p95_latency_ms > 1000.0 THEN 'slow' END" in made


def test_what_others_say_is_quoted() -> None:
    options = OPTIONS._replace(topic="it's", kafka={"a'b": "c'd"}, settings={"x": "y'; DROP"})
    made = text("windows", options)
    assert "'topic' = 'it''s'" in made
    assert "'properties.a''b' = 'c''d'," in made
    assert "SET 'x' = 'y''; DROP';" in made


def test_topics_of_tenants_are_a_pattern_and_an_event_counts_on_its_own() -> None:
    made = text("windows", OPTIONS._replace(topic="it's.{tenant}"))
    assert "'topic-pattern' = '^it''s(?:" in made
    assert "'topic' = 'it" not in made
    assert "'scan.topic-partition-discovery.interval' = '10 s'," in made
    assert (
        "WHEN on_topic <> 'it''s' AND tenant_id IS DISTINCT FROM SUBSTRING(on_topic FROM 6) THEN 'other_tenant'" in made
    )
    alone = text("windows", OPTIONS)
    assert "on_topic" not in alone
    assert "pattern" not in alone


def test_settings_of_security_are_those_of_java() -> None:
    given = {
        "security_protocol": "SASL_SSL", "sasl_mechanism": "SCRAM-SHA-512", "sasl_plain_username": "me",
        "sasl_plain_password": 'se"cret', "ssl_cafile": "/etc/ca.pem", "ssl_check_hostname": False,
    }  # fmt: skip
    made = java_options(given, shows_password=True)
    login = made.pop("sasl.jaas.config")
    assert made == {
        "security.protocol": "SASL_SSL", "sasl.mechanism": "SCRAM-SHA-512", "ssl.truststore.location": "/etc/ca.pem",
        "ssl.truststore.type": "PEM", "ssl.endpoint.identification.algorithm": "",
    }  # fmt: skip
    assert login.endswith('scram.ScramLoginModule required username="me" password="se\\"cret";')
    shown = java_options(given, shows_password=False)["sasl.jaas.config"]
    assert PASSWORD in shown
    assert "cret" not in shown
    with pytest.raises(ConfigError, match=r"KAFKA_SSL_CERTFILE='/etc/me\.pem': expected nothing"):
        java_options({"ssl_certfile": "/etc/me.pem"}, shows_password=False)
    with pytest.raises(ConfigError) as refused:
        java_options({"ssl_password": "hidden"}, shows_password=False)
    assert "hidden" not in str(refused.value)


def test_the_command_writes_the_text_without_the_password(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    for name, value in {
        "KAFKA_BOOTSTRAP_SERVERS": "kafka:29092", "KAFKA_OUTCOME_TOPIC": "mine", "KAFKA_SECURITY_PROTOCOL": "sasl_plaintext",
        "KAFKA_SASL_MECHANISM": "plain", "KAFKA_SASL_PLAIN_USERNAME": "me", "KAFKA_SASL_PLAIN_PASSWORD": "hidden",
    }.items():  # fmt: skip
        monkeypatch.setenv(name, value)
    assert main(["stream", "sql", "windows", "--window", "1m", "--to", "there", "--set", "parallelism.default=3"]) == 0
    out, err = capsys.readouterr()
    assert err == ""
    assert "hidden" not in out
    assert [each in out for each in ("'kafka:29092'", "'mine'", "'there'", "'3'", "/ 60) * 60", PASSWORD)] == [True] * 6
    assert main(["stream", "sql", "windows", "--ttl", "2d"]) == 1
    assert "expected at least 7d 1h 5m" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        main(["stream", "sql", "windows", "--window", "soon"])
    assert "'soon' is not a time of whole seconds such as 30s, 5m or 8d" in capsys.readouterr().err


def test_what_is_missing_is_named(tmp_path: Path) -> None:
    home, jars, java = tmp_path / "flink", tmp_path / "jars", tmp_path / "java" / "bin" / "java"
    environ = {"FLINK_HOME": str(home), "JAVA_HOME": str(tmp_path / "java")}
    with pytest.raises(FlinkError, match="has no bin/java"):
        find_flink(jars, environ)
    java.parent.mkdir(parents=True)
    java.touch(0o755)
    with pytest.raises(FlinkError, match=r"has no lib/flink-dist-2\.3\.0\.jar"):
        find_flink(jars, environ)
    for folder, names in {
        home / "lib": ["flink-dist-2.3.0.jar"], home / "opt": ["flink-sql-client-2.3.0.jar"],
        jars: ["zstd-jni-1.5.7.jar"],
    }.items():  # fmt: skip
        folder.mkdir(parents=True)
        for name in names:
            (folder / name).touch()
    with pytest.raises(FlinkError, match="has flink-sql-connector-kafka, flink-sql-gateway") as missing:
        find_flink(jars, environ)
    assert missing.value.todo.count(f"-DoutputDirectory={jars}") == 2
    (home / "opt" / "flink-sql-gateway-2.3.0.jar").touch()
    (home / "lib" / "flink-sql-connector-kafka-5.0.0-2.2.jar").touch()
    flink = find_flink(jars, environ)
    assert flink.java == str(java)
    assert str(home / "opt" / "flink-sql-gateway-2.3.0.jar") in flink.class_path


def test_a_job_goes_on_with_its_own_newest_checkpoint_only(tmp_path: Path) -> None:
    job = LocalJob(Flink("java", ()), tmp_path / "windows")
    another = LocalJob(Flink("java", ()), job.folder)
    with job.owned(), pytest.raises(FlinkError, match="this job runs already"), another.owned():
        pass
    assert job.begin_at("one text", None, anew=False) is None
    for number, at in ((7, 20), (8, 30), (9, None)):  # the last one was not completed
        checkpoint = job.checkpoints / "abc" / f"chk-{number}"
        checkpoint.mkdir(parents=True)
        if at is not None:
            (checkpoint / "_metadata").touch()
            os.utime(checkpoint / "_metadata", (at, at))
    assert newest_checkpoint(job.checkpoints) == job.checkpoints / "abc" / "chk-8"
    assert job.begin_at("one text", None, anew=False) == str(job.checkpoints / "abc" / "chk-8")
    with pytest.raises(FlinkError, match="the state of another text"):
        job.begin_at("another text", None, anew=False)
    assert job.begin_at("another text", "/some/savepoint", anew=False) == "/some/savepoint"
    assert job.begin_at("another text", None, anew=True) is None
    assert newest_checkpoint(job.checkpoints) is None


@pytest.mark.parametrize(
    ("variables", "said"),
    [
        ({"KAFKA_VALUE_FORMAT": "avro", "SCHEMA_REGISTRY_URL": "http://127.0.0.1:1"}, "KAFKA_VALUE_FORMAT='avro': expected json"),
    ],
)  # fmt: skip
def test_what_a_job_cannot_read_is_refused(
    variables: dict[str, str], said: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert main(["stream", "sql", "windows"]) == 1
    told = capsys.readouterr()
    assert said in " ".join((told.out + told.err).split())

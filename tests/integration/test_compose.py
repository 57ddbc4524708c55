"""docker-compose.yml says what it should, and the same files run without Docker in `tests.stack`."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path
from typing import Any, cast

import pytest
import yaml

from otel_feedback.cli.kafka.topics import STREAM_TOPICS
from otel_feedback.downstream.streaming.jars import FLINK, JARS
from tests.stack import builds, versions
from tests.stack.processes import temporary_directory
from tests.stack.prometheus import FEATURES
from tests.support import ROOT

# Service to reason. A one-shot service is waited for by its end instead.
_WITHOUT_HEALTH_CHECK = {
    "otel-collector": "its image holds no shell and no other program that could ask",
}
_ONE_SHOT = {"kafka-topics", "flink-jars"}
_CONFIGURED = ("otel-collector", "prometheus", "alertmanager")  # by a file in collector-config/

Service = dict[str, Any]


@pytest.fixture(scope="module")
def services() -> dict[str, Service]:
    compose = yaml.safe_load((ROOT / "docker-compose.yml").read_text("utf-8"))
    return cast("dict[str, Service]", compose["services"])


def test_images_are_pinned(services: dict[str, Service]) -> None:
    for name, service in services.items():
        assert re.fullmatch(r"[\w./-]+:v?\d+\.\d+\.\d+", service["image"]), name


def test_images_are_what_the_tests_run_against(services: dict[str, Service]) -> None:
    images = {name: service["image"] for name, service in services.items()}
    assert images["kafka"] == images["kafka-topics"] == versions.KAFKA_IMAGE
    assert images["otel-collector"] == versions.COLLECTOR_IMAGE
    assert images["jaeger"] == versions.JAEGER_IMAGE
    assert images["prometheus"] == versions.PROMETHEUS_IMAGE
    assert images["alertmanager"] == versions.ALERTMANAGER_IMAGE
    assert images["grafana"] == versions.GRAFANA_IMAGE
    assert images["flink-jobmanager"] == images["flink-taskmanager"] == f"flink:{FLINK}"
    assert all(jar in services["flink-jars"]["command"][0] for jar in JARS)


def test_what_flink_keeps_is_on_a_volume_of_both(services: dict[str, Service]) -> None:
    """As its image's entrypoint reads it: a line each, the name up to the first colon, without blanks."""
    both = [services[f"flink-{name}"] for name in ("jobmanager", "taskmanager")]
    assert both[0]["volumes"] == both[1]["volumes"]
    shared = [mount.split(":")[1] for mount in both[0]["volumes"]]
    said = [
        dict("".join(line.split()).split(":", 1) for line in one["environment"]["FLINK_PROPERTIES"].splitlines())
        for one in both
    ]
    assert {one["jobmanager.rpc.address"] for one in said} == {"flink-jobmanager"}
    kept = [value for one in said for name, value in one.items() if name.endswith("dir")]
    assert len(kept) == 3
    assert all(any(place.startswith(f"file://{folder}/") for folder in shared) for place in kept)


def test_ports_are_on_loopback_and_used_once(services: dict[str, Service]) -> None:
    ports = [port for service in services.values() for port in service.get("ports", [])]
    parts = [re.fullmatch(r"127\.0\.0\.1:(\d+):(\d+)", port) for port in ports]
    assert all(parts), ports
    published = [int(part[1]) for part in parts if part]
    assert len(set(published)) == len(published)
    assert {9092, 8080, 4317, 4318, 16686, 9090, 9093, 3000} <= set(published)


def test_mounted_files_exist(services: dict[str, Service]) -> None:
    mounts = [str(v) for service in services.values() for v in service.get("volumes", [])]
    paths = [mount.split(":")[0] for mount in mounts if mount.startswith((".", "/"))]
    assert paths
    for path in paths:
        assert (ROOT / path).exists(), path
    command = " ".join(word for name in _CONFIGURED for word in services[name]["command"])
    for name in re.findall(r"/etc/otelcol-feedback/([\w.-]+)", command):
        assert (ROOT / "collector-config" / name).is_file(), name


def test_there_is_no_zookeeper() -> None:
    assert "zookeeper" not in (ROOT / "docker-compose.yml").read_text("utf-8").lower()


def test_long_running_services_have_a_health_check(services: dict[str, Service]) -> None:
    without = {name for name, service in services.items() if "healthcheck" not in service}
    assert without == set(_WITHOUT_HEALTH_CHECK) | _ONE_SHOT


def test_services_wait_for_what_can_be_waited_for(services: dict[str, Service]) -> None:
    for name, service in services.items():
        for dependency, how in service.get("depends_on", {}).items():
            if dependency in _ONE_SHOT:
                assert how["condition"] == "service_completed_successfully", name
                continue
            assert how["condition"] == "service_healthy", name
            assert "healthcheck" in services[dependency], f"{name} waits for ever"


def test_topics_are_created_with_their_partitions(services: dict[str, Service]) -> None:
    script = "\n".join(services["kafka-topics"]["command"])
    created = dict(re.findall(r"^create ([\w-]+) (\d+(?: .+)?)$", script, re.MULTILINE))
    assert created == {
        "agent-outcomes": "6",
        "agent-outcomes-dlq": "1",
        "agent-outcomes-audit": "1",
        **{name: f"1 cleanup.policy={policy}" for name, policy in STREAM_TOPICS.items()},
    }


def test_every_variable_of_the_collector_has_a_default() -> None:
    """With compose, and with no variable set at all, `collector.yaml` has to stand alone."""
    text = (ROOT / "collector-config" / "collector.yaml").read_text("utf-8")
    assert re.findall(r"\$\{env:\w+\}", text) == []


def test_prometheus_asks_and_tells_who_is_there(services: dict[str, Service]) -> None:
    said = yaml.safe_load((ROOT / "collector-config" / "prometheus.yaml").read_text("utf-8"))
    jobs = [*said["scrape_configs"], *said["alerting"]["alertmanagers"]]
    targets = [target for job in jobs for static in job["static_configs"] for target in static["targets"]]
    ports = {name: {port.split(":")[-1] for port in service.get("ports", [])} for name, service in services.items()}
    for target in targets:
        host, port = target.split(":")
        assert port in ports["prometheus" if host == "localhost" else host], target


def test_prometheus_has_the_features_that_the_tests_run_with(services: dict[str, Service]) -> None:
    assert f"--enable-feature={FEATURES}" in services["prometheus"]["command"]


def test_promtool_accepts_the_configuration(promtool: Path) -> None:
    assert_accepted(promtool, "check", "config", "collector-config/prometheus.yaml")


def test_amtool_accepts_the_configuration(amtool: Path) -> None:
    assert_accepted(amtool, "check-config", "collector-config/alertmanager.yaml")


def assert_accepted(*command: str | Path) -> None:
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stdout + result.stderr


def test_kafka_settings_make_a_broker_that_kafka_accepts(services: dict[str, Service]) -> None:
    """The image's own entry point turns the variables into properties and formats the storage.

    It is a class in the broker's jars, so it runs here without the image.
    """
    libraries = builds.kafka_libraries()
    directory = temporary_directory("compose-kafka")
    for name in ("defaults", "mounted", "final"):
        (directory / name).mkdir()
    for name in ("server.properties", "log4j2.yaml", "tools-log4j2.yaml"):
        (directory / "defaults" / name).write_text("")
    environment = {
        **services["kafka"]["environment"],
        "KAFKA_LOG_DIRS": str(directory / "data"),
        "PATH": "/usr/bin:/bin",
    }
    command = ["java", "-cp", f"{libraries}/*", "kafka.docker.KafkaDockerWrapper", "setup"]
    folders = ["-D", "defaults", "-M", "mounted", "-F", "final"]
    result = subprocess.run(
        [*command, *folders],
        cwd=directory,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stdout + result.stderr
    assert (directory / "data" / "meta.properties").is_file()
    properties = (directory / "final" / "server.properties").read_text()
    assert "controller.quorum.voters=1@localhost:9093" in properties
    assert "auto.create.topics.enable=false" in properties

"""Build the services where no container engine runs: Kafka and Flink by Maven and pip, the others by Go.

All versions are pinned; the recipes are the files in `build/` and the commands here. Measured on
2 cores with empty Maven and Go caches: Kafka 6 s, collector 108 s, Jaeger 161 s, Prometheus about as long. Maven's and Go's
download caches are their own defaults, so a changed recipe builds faster than a first one, and one that was interrupted
goes on where it was.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from string import Template

from otel_feedback.downstream.streaming.jars import FLINK, GATEWAY, JARS
from tests.stack import versions
from tests.stack.cache import build_key, built
from tests.stack.errors import ServiceUnavailable
from tests.stack.steps import run_step

RECIPES = Path(__file__).parent / "build"

_LINK_FLAGS = "-s -w"  # no debug symbols: half the size, and linking is a good part of the time
_GO_ENVIRONMENT = {"CGO_ENABLED": "0"}  # pure Go: needs no C compiler and runs on any libc

_COPY_JARS = ("mvn", "-q", "-B", "dependency:copy-dependencies", "-DoutputDirectory=lib")
_BUILD_COLLECTOR = (
    "go",
    "run",
    f"go.opentelemetry.io/collector/cmd/builder@v{versions.COLLECTOR}",
    "--config=builder.yaml",
)
_JAEGER = "github.com/jaegertracing/jaeger"
_PROMETHEUS = "github.com/prometheus/prometheus"
_ALERTMANAGER = "github.com/prometheus/alertmanager"
_BUILD = ("go", "build", "-mod=mod", "-trimpath", f"-ldflags={_LINK_FLAGS}")
_NO_DISCOVERY = "-tags=remove_all_sd"  # of the machines of twenty clouds, whose libraries are most of the work


def kafka_libraries() -> Path:
    """Return the directory with a broker's jars."""
    return _jars("kafka", f"Kafka {versions.KAFKA}", "kafka-pom.xml")


def kafka_tools() -> Path:
    """Return the directory with the jars of Kafka's command-line tools, and of MirrorMaker 2."""
    return _jars("tools-of-kafka", f"the tools of Kafka {versions.KAFKA}", "kafka-tools-pom.xml")


def _jars(name: str, title: str, recipe: str) -> Path:
    pom = _recipe(recipe)

    def build(directory: Path) -> None:
        (directory / "pom.xml").write_text(pom)
        run_step(_COPY_JARS, directory)

    _require("java", "mvn")
    _require_java(versions.KAFKA_JAVA)
    key = build_key(name, versions.KAFKA, [pom, *_COPY_JARS])
    return built(key, f"fetching {title} with Maven (once)", build) / "lib"


def apicurio_home() -> Path:
    """Return the directory with the jars of a schema registry."""
    pom = _recipe("apicurio-pom.xml")

    def build(directory: Path) -> None:
        (directory / "pom.xml").write_text(pom)
        run_step(_COPY_JARS, directory)
        (archive,) = (directory / "lib").glob("*.tar.gz")
        run_step(["tar", "-xzf", str(archive)], directory)
        archive.unlink()

    _require("java", "mvn", "tar")
    _require_java(versions.KAFKA_JAVA)
    key = build_key("apicurio", versions.APICURIO, [pom, *_COPY_JARS])
    return built(key, f"fetching Apicurio Registry {versions.APICURIO} with Maven (once)", build)


def connect_libraries() -> Path:
    """Return the directory with the jars of a Kafka Connect worker."""
    return _jars("connect", f"Kafka Connect {versions.KAFKA}", "connect-pom.xml")


def flink() -> tuple[Path, Path]:
    """Return the home of a Flink, and a folder with the jars that it needs beside its own."""
    package = f"apache-flink-libraries=={FLINK}"  # of the extra `flink`: the jars alone

    def build(directory: Path) -> None:
        pip = (sys.executable, "-m", "pip", "install", "-q", "--disable-pip-version-check", "--no-deps", "--no-compile")
        run_step((*pip, "--target", "home", package), directory)
        for jar in jars:
            run_step(("mvn", "-q", "-B", "dependency:copy", f"-Dartifact={jar}", "-DoutputDirectory=jars"), directory)

    jars = (*JARS, GATEWAY)
    _require("java", "mvn")
    _require_java(versions.KAFKA_JAVA)
    folder = built(build_key("flink", FLINK, [package, *jars]), f"fetching Flink {FLINK} (once, 330 MB)", build)
    return folder / "home" / "pyflink", folder / "jars"


def collector_binary() -> Path:
    """Return the collector's executable."""
    config = _recipe("collector-builder.yaml")

    def build(directory: Path) -> None:
        (directory / "builder.yaml").write_text(config)
        run_step(_BUILD_COLLECTOR, directory, _GO_ENVIRONMENT)
        (directory / "source" / "otelcol").rename(directory / "otelcol")
        shutil.rmtree(directory / "source")

    key = build_key("collector", versions.COLLECTOR, [config, *_BUILD_COLLECTOR])
    title = f"building the OpenTelemetry Collector {versions.COLLECTOR} with Go (once, ~2 minutes)"
    _require("go")
    return built(key, title, build) / "otelcol"


def jaeger_binary() -> Path:
    """Return Jaeger's executable."""

    return _build_of_module("jaeger", versions.JAEGER, _JAEGER, versions.JAEGER_MODULE, ["jaeger"]) / "jaeger"


def prometheus_binary() -> Path:
    """Return Prometheus' executable. Its pages are not in it."""
    return _prometheus() / "prometheus"


def promtool_binary() -> Path:
    """Return what checks Prometheus' configuration and rules."""
    return _prometheus() / "promtool"


def _prometheus() -> Path:
    programs = ["prometheus", "promtool"]
    return _build_of_module(
        "prometheus", versions.PROMETHEUS, _PROMETHEUS, versions.PROMETHEUS_MODULE, programs, _NO_DISCOVERY
    )


def amtool_binary() -> Path:
    """Return what checks Alertmanager's configuration."""
    return (
        _build_of_module("alertmanager", versions.ALERTMANAGER, _ALERTMANAGER, versions.ALERTMANAGER, ["amtool"])
        / "amtool"
    )


def build_all() -> None:
    """Build everything that is missing.

    One after the other: side by side took 261 s instead of 274 s on 2 cores, for both then compile
    the same parts of Go's library.
    """
    kafka_libraries()
    kafka_tools()
    flink()
    collector_binary()
    jaeger_binary()
    prometheus_binary()
    amtool_binary()
    apicurio_home()
    connect_libraries()


def _build_of_module(
    name: str, version: str, module: str, module_version: str, programs: Sequence[str], *flags: str
) -> Path:
    """Return the directory with these programs of a Go module."""
    mark = ("go", "mod", "edit", f"-module=otel-feedback.tests/{name}", f"-require={module}@v{module_version}")
    target = programs[0] if len(programs) == 1 else "."
    build = (*_BUILD, f"-o={target}", *flags, *(f"{module}/cmd/{program}" for program in programs))

    def build_in(directory: Path) -> None:
        # `go install` refuses a module with replace directives. A module of our own with its
        # requirements and checksums builds the very same program.
        source = _download(f"{module}@v{module_version}", directory)
        for file in ("go.mod", "go.sum"):
            (directory / file).write_bytes((source / file).read_bytes())
        run_step(mark, directory, _GO_ENVIRONMENT)
        run_step(build, directory, _GO_ENVIRONMENT)

    title = f"building {name.capitalize()} {version} with Go (once, ~3 minutes)"
    _require("go")
    return built(build_key(name, version, [*mark, *build]), title, build_in)


def _recipe(name: str) -> str:
    text = (RECIPES / name).read_text("utf-8")
    return Template(text).substitute(
        KAFKA_VERSION=versions.KAFKA,
        APICURIO_VERSION=versions.APICURIO,
        COLLECTOR_VERSION=versions.COLLECTOR,
        COLLECTOR_STABLE_VERSION=versions.COLLECTOR_STABLE,
    )


def _require(*tools: str) -> None:
    missing = [tool for tool in tools if shutil.which(tool) is None]
    if missing:
        raise ServiceUnavailable(f"not installed: {', '.join(missing)}")


def _require_java(at_least: int) -> None:
    result = subprocess.run(["java", "-version"], capture_output=True, text=True, timeout=60, check=False)
    found = re.search(r'version "(\d+)', result.stderr)
    if found is None or int(found[1]) < at_least:
        first_line = next(iter(result.stderr.splitlines()), "no answer from java -version")
        raise ServiceUnavailable(f"Java {at_least} or later is needed: {first_line}")


def _download(module: str, directory: Path) -> Path:
    """Return the directory in Go's module cache that holds the module's source."""
    told = run_step(["go", "mod", "download", "-json", module], directory)
    return Path(json.loads(told[told.index("{") : told.rindex("}") + 1])["Dir"])  # it also says what it fetches

"""The pinned versions of the services, and the images that hold the same ones.

`docker-compose.yml` names the same images; `tests/integration/test_compose.py` compares.
"""

from __future__ import annotations

KAFKA = "4.1.0"
KAFKA_JAVA = 17  # the oldest Java that this Kafka runs on
KAFKA_IMAGE = f"apache/kafka:{KAFKA}"

COLLECTOR = "0.155.0"
# The collector's stable modules are released together with it under a number of their own.
COLLECTOR_STABLE = "1.61.0"
COLLECTOR_IMAGE = f"otel/opentelemetry-collector-contrib:{COLLECTOR}"

JAEGER = "2.13.0"
# Jaeger 2 is released from a Go module that still counts in version 1.
JAEGER_MODULE = "1.76.0"
JAEGER_IMAGE = f"jaegertracing/jaeger:{JAEGER}"

PROMETHEUS = "3.13.5"
# Prometheus 3 is released from a Go module that counts its own minor and patch versions in one.
PROMETHEUS_MODULE = "0.313.5"
PROMETHEUS_IMAGE = f"prom/prometheus:v{PROMETHEUS}"

ALERTMANAGER = "0.33.1"
ALERTMANAGER_IMAGE = f"prom/alertmanager:v{ALERTMANAGER}"

APICURIO = "2.6.13.Final"  # the newest that runs on Kafka's Java
APICURIO_IMAGE = f"apicurio/apicurio-registry-mem:{APICURIO}"

AXE = "4.14.1"

# No package index has it: it runs with Docker only. The units that it knows are in tests/unit/docs/grafana_units.txt.
GRAFANA = "13.2.3"
GRAFANA_IMAGE = f"grafana/grafana:{GRAFANA}"

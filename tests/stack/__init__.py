"""Start real services for tests: a Kafka broker, an OpenTelemetry Collector, Jaeger, an OTLP sink.

Each service is taken from the environment when given there, else run with Docker when an engine
answers, else built once with Maven or Go and kept under `~/.cache/otel-feedback/`. Where none of
these is possible, `ServiceUnavailable` says what was tried: `fixtures` turns that into a loud
skip, and into a failure where `CI=true`.

`python -m tests.stack` starts everything for a developer; `--build` only fills the cache.
"""

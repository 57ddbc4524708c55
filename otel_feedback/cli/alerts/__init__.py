"""`otel-feedback alerts …`."""

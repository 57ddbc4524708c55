"""`otel-feedback slo …`."""

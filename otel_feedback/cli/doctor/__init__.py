"""`otel-feedback doctor`."""

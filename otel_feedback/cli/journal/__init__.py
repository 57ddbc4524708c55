"""`otel-feedback journal …`."""

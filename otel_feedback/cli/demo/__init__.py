"""`otel-feedback demo`."""

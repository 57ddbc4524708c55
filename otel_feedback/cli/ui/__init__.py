"""`otel-feedback ui`: the page."""

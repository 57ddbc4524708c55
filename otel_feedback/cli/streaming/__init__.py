"""`otel-feedback stream`: jobs of Flink SQL."""

"""Events to an OTLP collector, as log records."""

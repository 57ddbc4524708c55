"""How an action becomes a span. Uses the OpenTelemetry API, never the SDK."""

"""What adapts to the OpenTelemetry SDK and to the process."""

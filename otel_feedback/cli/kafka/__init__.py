"""What commands ask of Kafka; `otel-feedback topics`."""

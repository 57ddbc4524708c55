"""Outcome events by confluent-kafka, which is librdkafka: compression and protocol in C, beside the interpreter."""

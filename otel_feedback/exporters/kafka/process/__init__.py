"""Sending to Kafka from a process of its own, beside the agents'."""

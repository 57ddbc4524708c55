"""The log between conversion and the exporters: Kafka in miniature at the edge."""

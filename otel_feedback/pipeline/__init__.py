"""From finished spans to acknowledged deliveries. Knows journal and exporters by their interfaces only."""

"""The rules of alerts as Prometheus', and their channels as Alertmanager's: on the metrics, in place of the events."""

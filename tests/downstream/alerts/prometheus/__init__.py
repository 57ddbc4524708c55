"""Alerts: rules, what they see, the state machine, what is kept, and who is told."""

"""Alerts: rules over the tables of events, one state machine, and notifications that are not lost."""

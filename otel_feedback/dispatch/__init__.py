"""Agents that know nothing of us, run as recorded actions."""

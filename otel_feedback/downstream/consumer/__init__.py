"""The typed consumer: a thread that polls however slow the handler is, and commits of what was handled."""

"""The project's tests; `tests.stack` starts the real services that they talk to."""

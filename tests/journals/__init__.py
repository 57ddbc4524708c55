"""Journals for tests: made on disk, harmed, and looked at by `otel-feedback journal`."""

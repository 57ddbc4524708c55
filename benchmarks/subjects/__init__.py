"""The processes that are measured. Each subject has one of its own, so that none shares a heap or a lock."""

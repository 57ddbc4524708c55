"""The page: one process that mirrors a store, answers a browser's questions about it, and tells it what is new."""

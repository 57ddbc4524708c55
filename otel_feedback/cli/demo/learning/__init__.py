"""`otel-feedback demo --learn`: a selector at work, and what came of it."""

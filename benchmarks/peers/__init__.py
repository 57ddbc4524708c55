"""`python -m benchmarks.peers`: what one span of other SDKs costs, each measured against a bare span beside it."""

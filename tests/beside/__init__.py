"""Beside others: `opentelemetry-instrument` and the SDKs of vendors, the real packages, in environments of their own."""

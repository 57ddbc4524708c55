"""Which Flink the jobs are for, and what it needs beside its own jars: by group, name and version, as Maven Central has them."""

from __future__ import annotations

__all__ = ["FLINK", "GATEWAY", "JARS"]

FLINK = "2.3.0"
JARS = (
    "org.apache.flink:flink-sql-connector-kafka:5.0.0-2.2",
    "com.github.luben:zstd-jni:1.5.6-10",  # without it a topic with zstd ends the job
)
GATEWAY = f"org.apache.flink:flink-sql-gateway:{FLINK}"
"""The SQL client needs it; a distribution has it, the package of the extra does not."""

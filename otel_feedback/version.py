"""The version, in the one place that the build, the tracer and the wire read it from."""

VERSION = "0.1.0"

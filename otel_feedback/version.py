"""The version, in the one place that the build, the tracer and the wire read it from."""

VERSION = __version__ = "0.1.0"

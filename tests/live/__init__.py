"""Agents of real frameworks, instrumented by what people use, against a model on this machine."""

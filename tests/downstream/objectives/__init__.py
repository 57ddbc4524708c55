"""Objectives: what slo.toml says, how they stand, who is told, and what is shown and exported."""

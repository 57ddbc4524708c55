"""Files of TOML that people write, such as `alerts.toml` and `slo.toml`: read with types, and explained where they are wrong."""

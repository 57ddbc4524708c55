"""What can be set: one table, and the reading of values."""

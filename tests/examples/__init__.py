"""README, documentation and examples, executed."""

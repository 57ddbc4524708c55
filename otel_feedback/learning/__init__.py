"""What an agent's program, or one that only looks at what agents did, tells and asks beside its actions."""

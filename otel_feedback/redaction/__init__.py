"""What may leave the agent: secrets taken out, limits kept."""

"""The commands that learn from outcomes: what to compare, whom to choose, what to improve."""

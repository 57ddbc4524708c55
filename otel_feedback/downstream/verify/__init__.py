"""What became of each producer's events: delivered, repeated, lost and said so, or missing."""

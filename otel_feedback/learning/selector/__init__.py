"""Choosing agents by their outcomes, in the program that runs them."""

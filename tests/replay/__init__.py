"""Recorded runs of real frameworks, played again: what becomes of them is compared with what really happened."""

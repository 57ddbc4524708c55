"""Objectives: what share of actions is to be good over a period, how much of the rest is used up, and how fast it goes."""

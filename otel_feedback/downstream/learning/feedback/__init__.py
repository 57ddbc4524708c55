"""Feedback that was given after the fact: what there is to draw of it."""

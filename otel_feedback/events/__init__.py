"""What an outcome is: the event, its wire form, and the limits on what callers hand in."""

"""What selectors know, of events that are there, and how they chose over time."""

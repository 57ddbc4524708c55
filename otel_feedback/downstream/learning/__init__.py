"""What is learned from events that are there: experiments compared, policies judged, gaps found, feedback joined."""

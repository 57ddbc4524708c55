"""What all that read the topic share: it from beginning to end, a record as the event that it is, and dead letters."""

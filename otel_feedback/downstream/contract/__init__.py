"""The event's type in the words of those who take events: schemas, and what may change in them."""

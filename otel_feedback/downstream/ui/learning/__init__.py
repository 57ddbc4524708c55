"""What outcomes teach, as the page has it: what takes long, beside what is live."""

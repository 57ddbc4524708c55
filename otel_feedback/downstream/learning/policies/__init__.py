"""What another policy of choosing agents would have brought, told by a log of choices and their probabilities."""

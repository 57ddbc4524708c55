"""Dead letters and the account, to topics of their own."""

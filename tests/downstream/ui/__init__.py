"""The page: its server, by HTTP, against plain recomputations."""

"""Two ways of doing the same thing, compared: with intervals that may be looked at whenever one likes."""

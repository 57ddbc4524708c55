"""Where outcome events go: one interface, one module for each kind of destination."""

"""How a finished span becomes an outcome event: one module per convention, each a table and a pure function."""

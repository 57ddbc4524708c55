"""Events as rows of tables that DuckDB queries: their columns, and the views on them."""

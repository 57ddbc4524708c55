"""The store: one process that follows the topic, or log files, and writes Parquet files by day; many that read them."""

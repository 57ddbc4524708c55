"""The store's views as jobs of Flink SQL, which keep their rows up to date on topics."""

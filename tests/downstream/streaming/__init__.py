"""The store's views as jobs of Flink: their texts, and what real ones bring."""

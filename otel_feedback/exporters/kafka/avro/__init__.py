"""Values in Avro, by a schema registry with Confluent's API."""

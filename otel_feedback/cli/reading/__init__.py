"""Commands that read events: `tail`, `stats`, `trace`, `failures`, `sql`; all from a topic, a store or log files."""

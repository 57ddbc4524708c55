"""`otel-feedback store` and `otel-feedback erase`: who writes the store, and what is taken out of it."""

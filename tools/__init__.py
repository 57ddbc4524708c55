"""Development only, not shipped: what writes the generated parts of the documentation."""

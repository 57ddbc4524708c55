"""One module for each family of span attributes: names in the order in which they are believed."""

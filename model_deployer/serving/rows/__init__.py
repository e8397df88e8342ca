"""From request bodies to validated rows and columns."""

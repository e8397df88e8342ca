"""Bodies become checked rows and columns."""

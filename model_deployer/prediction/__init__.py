"""A table becomes a table of predictions, without a server."""

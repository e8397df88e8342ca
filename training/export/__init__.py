"""A fitted model becomes the files of an artifact."""

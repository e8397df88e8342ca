"""A model becomes a Bento and a container image."""

"""The change of the model of a running server: an alias names another version, and the workers are replaced."""

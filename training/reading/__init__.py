"""Read the files and queries that a model.yaml names into frames."""

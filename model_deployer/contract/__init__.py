"""What a model promises: its features, outputs, errors, files, and its place in the model store."""

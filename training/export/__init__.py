"""Export a fitted model to the files of an artifact."""

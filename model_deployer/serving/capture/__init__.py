"""Capture: what the model saw and answered, in Parquet files of a traffic store, off the path of a request."""

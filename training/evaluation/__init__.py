"""Evaluation: the metrics, slices, importance and reliability of a fitted model on the test rows."""

"""Experiment trackers: a finished model is recorded where a team looks for its runs and models."""

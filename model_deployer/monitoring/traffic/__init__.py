"""Captured traffic and its labels, read from a traffic store as tables."""

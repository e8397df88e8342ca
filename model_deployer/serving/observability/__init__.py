"""Metrics, drift counters and log lines."""

"""Measure a running server: latency, throughput and memory."""

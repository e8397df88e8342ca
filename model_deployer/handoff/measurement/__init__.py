"""A running server is measured: latency, throughput and memory."""

"""Benchmarks next to other tools, in one run on one machine; only the ratios are meaningful on other machines."""

"""Prove that a graph answers as its source: rows that are built from the model, and the comparison of the answers."""

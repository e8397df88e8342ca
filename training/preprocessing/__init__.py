"""Columns become the tensors that models learn from."""

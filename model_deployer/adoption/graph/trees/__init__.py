"""Graphs of decision trees of all libraries, and readers of the files of boosters."""

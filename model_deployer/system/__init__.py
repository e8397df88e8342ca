"""This machine: programs that are run, and what the terminal shows meanwhile."""

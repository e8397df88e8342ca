"""This machine: how programs are run, and what the terminal shows meanwhile."""

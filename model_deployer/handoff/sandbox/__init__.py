"""The clean environment in which the commands of a package run."""

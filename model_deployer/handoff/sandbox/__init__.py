"""The clean environment in which a package is tried."""

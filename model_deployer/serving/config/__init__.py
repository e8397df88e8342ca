"""The settings of a server, and the choice of its model."""

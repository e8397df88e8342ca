"""Settings of a server, and which model it serves."""

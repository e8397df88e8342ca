"""The protocols over gRPC: `server.py` listens, `calls.py` has the limits, and a module for each protocol answers."""

"""The Open Inference Protocol v2 over gRPC: `server.py` listens, `calls.py` has the limits, `servicer.py` answers."""

"""The content of a handoff package as models: the model's data, measurements, samples, formats, clients and sizing."""

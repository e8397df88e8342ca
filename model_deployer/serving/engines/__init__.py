"""Columns become predictions: batches, ONNX Runtime and the GPU runner."""

"""From columns to predictions: batching, ONNX Runtime and the GPU runner."""

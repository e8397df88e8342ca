"""ONNX graphs on raw fields, written from what a stored model holds; numbers are double until the outputs."""

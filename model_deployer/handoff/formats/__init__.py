"""The model in every format that a package offers, each compared with model.onnx."""

"""The formats of a model in a package, each compared with model.onnx."""

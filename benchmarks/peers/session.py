"""The session of ONNX Runtime that all other servers use, with one thread."""

import os

import onnxruntime


def session() -> onnxruntime.InferenceSession:
    """Load the graph that the environment variable ``MODEL`` names."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    return onnxruntime.InferenceSession(os.environ["MODEL"], options, providers=["CPUExecutionProvider"])

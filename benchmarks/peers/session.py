"""The graph that all peers run, in a session of one thread."""

import os

import onnxruntime


def session() -> onnxruntime.InferenceSession:
    """The graph under ``MODEL``."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    return onnxruntime.InferenceSession(os.environ["MODEL"], options, providers=["CPUExecutionProvider"])

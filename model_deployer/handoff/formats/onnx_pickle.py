"""Graphs of ONNX as pickles that hold no code.

Such a pickle names one callable, ``onnxruntime.InferenceSession``, and the bytes of a graph: whoever loads it has a
session of ONNX Runtime, with any version of Python, and nothing else is imported or run.
"""

import pickle
from pathlib import Path
from typing import Any

import joblib
import onnxruntime

#: The oldest protocol that every supported Python reads and that holds large bytes well.
PROTOCOL = 4


class _Session:
    """What becomes a session when it is unpickled."""

    def __init__(self, graph: bytes) -> None:
        self._graph = graph

    def __reduce__(self) -> tuple[Any, tuple[bytes]]:
        return onnxruntime.InferenceSession, (self._graph,)


def write_pickle(graph: bytes, path: Path) -> None:
    """Write a graph as a pickle."""
    path.write_bytes(pickle.dumps(_Session(graph), protocol=PROTOCOL))


def write_joblib(graph: bytes, path: Path) -> None:
    """Write a graph as joblib does, compressed."""
    joblib.dump(_Session(graph), path, compress=3, protocol=PROTOCOL)

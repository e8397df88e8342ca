"""ONNX graphs as pickles that contain no code.

Such a pickle contains the name of one callable, ``onnxruntime.InferenceSession``, and the bytes of a graph. Loading it
gives a session of ONNX Runtime, in any version of Python, and imports and runs nothing else.
"""

import pickle
from pathlib import Path
from typing import Any

import joblib
import onnxruntime

#: The oldest pickle protocol with an efficient encoding of large byte strings; every supported Python reads it.
PROTOCOL = 4


class _Session:
    """An object that unpickles as a session of ONNX Runtime."""

    def __init__(self, graph: bytes) -> None:
        self._graph = graph

    def __reduce__(self) -> tuple[Any, tuple[bytes]]:
        return onnxruntime.InferenceSession, (self._graph,)


def write_pickle(graph: bytes, path: Path) -> None:
    """Write a serialized graph as a pickle."""
    path.write_bytes(pickle.dumps(_Session(graph), protocol=PROTOCOL))


def write_joblib(graph: bytes, path: Path) -> None:
    """Write a serialized graph as a compressed joblib file."""
    joblib.dump(_Session(graph), path, compress=3, protocol=PROTOCOL)

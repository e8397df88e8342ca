"""Answer the requests of one connection after the other.

Verbs: ``load`` (a source), ``describe``, ``predict`` (columns to answers) and ``convert``. Each request has one answer.
An answer with ``error`` says what went wrong; the worker goes on.
"""

import re
import signal
import socket
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Lock
from typing import Any

from . import answers, conversion, loading, torch_network, wire
from .script_error import Scripts
from .table import Table

#: How Python 3.8 and 3.7 name a class that a pickle needs and a module lacks.
_MISSING_NAMES = (
    re.compile(r"Can't get attribute '(?P<name>[^']+)' on <module '(?P<module>[^']+)'"),
    re.compile(r"module '(?P<module>[^']+)' has no attribute '(?P<name>[^']+)'"),
)

#: The packages whose versions an answer may depend on, by the name that they are imported with.
_LIBRARIES = {
    "catboost": "catboost",
    "category_encoders": "category_encoders",
    "imblearn": "imbalanced-learn",
    "keras": "keras",
    "lightgbm": "lightgbm",
    "mlflow": "mlflow",
    "numpy": "numpy",
    "onnxruntime": "onnxruntime",
    "pandas": "pandas",
    "scipy": "scipy",
    "sklearn": "scikit-learn",
    "tensorflow": "tensorflow",
    "torch": "torch",
    "xgboost": "xgboost",
}


class Busy(Exception):
    """The model answers other batches."""


class Worker:
    """The process that holds the model.

    Args:
        folder: The folder that it may write to.
        batch_seconds: The time for the answers to one batch, also for the wait for those before it; None for no limit.
    """

    def __init__(self, folder: Path, batch_seconds: "float | None" = None) -> None:
        self.folder = folder
        self.model: Any = None
        self._batch_seconds = batch_seconds
        self._lock = Lock()
        self._scripts = Scripts([], [])

    def serve(self, connection: socket.socket) -> None:
        """Answer until the other side ends the connection."""
        while True:
            try:
                header, columns = wire.receive(connection)
            except (wire.Disconnected, ConnectionError):
                return
            wire.send(connection, *self.answer(header, columns))

    def answer(self, header: "dict[str, Any]", columns: wire.Columns) -> "tuple[dict[str, Any], wire.Columns]":
        """Return the answer to a request; an error of the source is an answer."""
        try:
            with self._turn():
                return _VERBS[header["verb"]](self, header, columns)
        except Exception as error:  # the source may raise anything
            traceback.print_exc()
            return {"error": dict(_described(error), **self._scripts.described(error))}, {}

    @contextmanager
    def _turn(self) -> "Iterator[None]":
        """Wait for the other requests: libraries need not be able to answer two batches at once."""
        if not self._lock.acquire(timeout=self._batch_seconds or -1):
            raise Busy
        try:
            yield
        finally:
            self._lock.release()

    def load(self, header: "dict[str, Any]", _: wire.Columns) -> "tuple[dict[str, Any], wire.Columns]":
        """Load the source, and describe it."""
        folders, definitions = header.get("folders", []), header.get("definitions", [])
        sys.path[:0] = folders
        self._scripts = Scripts(definitions, folders)
        failures = loading.define(definitions)
        try:
            self.model = loading.load(header["steps"])
        except Exception as error:  # the source may raise anything
            raise _reason(error, failures) from error.__cause__
        return self.describe(header, {})

    def describe(self, _: "dict[str, Any]", __: wire.Columns) -> "tuple[dict[str, Any], wire.Columns]":
        """Return what the model says of itself, and the versions that it answers with."""
        loaded = {package: getattr(sys.modules.get(name), "__version__", None) for name, package in _LIBRARIES.items()}
        versions = {package: str(version) for package, version in loaded.items() if version}
        versions["python"] = ".".join(map(str, sys.version_info[:3]))
        return dict(self.model.describe(), versions=versions), {}

    def predict(self, header: "dict[str, Any]", columns: wire.Columns) -> "tuple[dict[str, Any], wire.Columns]":
        """Return the answers to rows, and why rows are refused."""
        with _time_limit(self._batch_seconds):
            answer, refused = answers.ask(self.model, Table(columns, header))
        return {"refused": refused}, answer

    def convert(self, header: "dict[str, Any]", _: wire.Columns) -> "tuple[dict[str, Any], wire.Columns]":
        """Return a file that a source is converted to."""
        return {}, {"content": conversion.convert(header["steps"][0], self.folder)}  # type: ignore[dict-item]


_VERBS = {"load": Worker.load, "describe": Worker.describe, "predict": Worker.predict, "convert": Worker.convert}


@contextmanager
def _time_limit(seconds: "float | None") -> "Iterator[None]":
    """Have the system end this process if the context takes longer, whatever its code does."""
    signal.setitimer(signal.ITIMER_REAL, seconds or 0)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)


def _first_sentence(text: str) -> str:
    """Return the first line of a message, with the second one where the first one only announces it."""
    lines = [line.strip() for line in text.splitlines() if line.strip()] or [""]
    return " ".join(lines[:2] if lines[0].endswith(":") else lines[:1])[:300]


def _reason(error: Exception, failures: "dict[str, Exception]") -> Exception:
    """Return the error of a source; where a class is missed that could not be defined, the error of its definition."""
    name = _described(error).get("name")
    if name in failures:
        return failures[name]
    is_network = isinstance(error, torch_network.NoNetwork) and error.__cause__ is None
    return next(iter(failures.values()), error) if is_network else error


def _described(error: Exception) -> "dict[str, Any]":
    described: dict[str, Any] = {"type": type(error).__name__, "message": _first_sentence(str(error))}
    matches = [match for match in (pattern.search(str(error)) for pattern in _MISSING_NAMES) if match]
    if matches:
        described.update(matches[0].groupdict())
    elif isinstance(error, ModuleNotFoundError):
        described.update(module=error.name, name=None)
    library = str(described.get("module")).partition(".")[0]
    return dict(described, version=getattr(sys.modules.get(library), "__version__", None))

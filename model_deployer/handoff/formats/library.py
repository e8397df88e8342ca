"""model/predictor.py: the model as a Python object, for ONNX Runtime and numpy only, and pickles of this object."""

import pickle
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import joblib

TEMPLATES = Path(__file__).parent / "templates"

#: The name of the module; pickles name their classes by it.
MODULE = "predictor"

#: The oldest pickle protocol with an efficient encoding of large byte strings; every supported Python reads it.
PROTOCOL = 4


@dataclass(frozen=True)
class Library:
    """The library of a package.

    A pickle of an object of the library names its class and has the bytes of graphs and the contract as text: it
    contains no code. It loads where predictor.py can be imported.

    Attributes:
        folder: The folder of the model.
        module: predictor.py of this folder.
    """

    folder: Path
    module: ModuleType

    def write_pickle(self, value: Any, name: str) -> None:
        """Write an object of the library as a pickle."""
        with self.importable():
            (self.folder / name).write_bytes(pickle.dumps(value, protocol=PROTOCOL))

    def load_pickle(self, name: str) -> Any:
        """Return the object in a pickle."""
        with self.importable():
            return pickle.loads((self.folder / name).read_bytes())

    def write_joblib(self, value: Any, name: str) -> None:
        """Write an object of the library as a compressed joblib file."""
        with self.importable():
            joblib.dump(value, self.folder / name, compress=3, protocol=PROTOCOL)

    def load_joblib(self, name: str) -> Any:
        """Return the object in a joblib file."""
        with self.importable():
            return joblib.load(self.folder / name)

    @contextmanager
    def importable(self) -> Iterator[None]:
        """Let pickles find the classes of the library, as they do where its folder is on the path."""
        previous = sys.modules.get(MODULE)
        sys.modules[MODULE] = self.module
        try:
            yield
        finally:
            sys.modules.pop(MODULE)
            if previous:
                sys.modules[MODULE] = previous


def write_library(folder: Path) -> Library:
    """Write predictor.py into the folder of the model."""
    path = folder / f"{MODULE}.py"
    shutil.copyfile(TEMPLATES / path.name, path)
    return Library(folder, import_file(path))


def import_file(path: Path) -> ModuleType:
    """Return a Python file as a module that other code does not see, without writing a file of bytecode next to it."""
    module = ModuleType(path.stem)
    module.__file__ = str(path)
    exec(compile(path.read_text(encoding="utf-8"), path, "exec"), module.__dict__)
    return module

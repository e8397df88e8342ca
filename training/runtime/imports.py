"""Import the modules of a data scientist that are in the folder of a model.yaml."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def importable(folder: Path) -> Iterator[None]:
    """Have modules in a folder found after all installed ones, within the context."""
    path = str(folder.resolve())
    sys.path.append(path)
    try:
        yield
    finally:
        sys.path.remove(path)

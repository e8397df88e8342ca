"""Import classes that a model.yaml names, also from modules in its folder."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from typing import TypeVar

from model_deployer.contract.errors import EnvironmentFault, SpecError

T = TypeVar("T")


@contextmanager
def importable(folder: Path) -> Iterator[None]:
    """Have modules in a folder found after all installed ones, within the context."""
    path = str(folder.resolve())
    sys.path.append(path)
    try:
        yield
    finally:
        sys.path.remove(path)


def import_class(path: str, base: type[T], key: str) -> type[T]:
    """Return the class with an import path. Its module is imported; the class is checked and not called.

    Args:
        path: The import path, such as ``sklearn.svm.SVC``.
        base: The class must be a subclass of this one.
        key: The key of model.yaml that has the path, for messages.

    Raises:
        EnvironmentFault: if the module cannot be imported.
        SpecError: if it has no such name, or the name is not a subclass of ``base``.
    """
    module, _, name = path.rpartition(".")
    try:
        imported = getattr(import_module(module), name)
    except ImportError as error:
        raise EnvironmentFault(
            f"`{key}: {path}` cannot be imported: {error}; a module of your own must be in the folder of model.yaml or "
            "installed"
        ) from None
    except AttributeError:
        raise SpecError(f"`{key}`: the module {module} has no '{name}'") from None
    if not isinstance(imported, type) or not issubclass(imported, base):
        raise SpecError(f"`{key}`: {path} is not a subclass of {base.__module__}.{base.__qualname__}")
    return imported

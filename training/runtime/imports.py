"""Import classes that a model.yaml names, also from modules in its folder."""

import hashlib
import sys
import traceback
from collections.abc import Iterable, Iterator
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


def import_class(path: str, bases: type[T] | tuple[type[T], ...], key: str) -> type[T]:
    """Return the class with an import path. Its module is imported; the class is checked and not called.

    Args:
        path: The import path, such as ``sklearn.svm.SVC``.
        bases: The class must be a subclass of this one, or of one of these.
        key: The key of model.yaml that has the path, for messages.

    Raises:
        EnvironmentFault: if the module cannot be imported.
        SpecError: if it has no such name, or the name is not a subclass of ``bases``.
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
    if not isinstance(imported, type) or not issubclass(imported, bases):
        expected = bases if isinstance(bases, tuple) else (bases,)
        names = " or ".join(f"{base.__module__}.{base.__qualname__}" for base in expected)
        raise SpecError(f"`{key}`: {path} is not a subclass of {names}")
    return imported


def module_digests(paths: Iterable[str], folder: Path) -> dict[str, str]:
    """Return the digests of the modules in a folder that classes come from, ``sha256:`` and the digest by file.

    Args:
        paths: The import paths of the classes; modules that are not in the folder have no digest.
        folder: The folder of model.yaml.
    """
    files: set[Path] = set()
    for path in paths:
        module = folder / path.partition(".")[0]
        files.update(module.rglob("*.py") if module.is_dir() else [module.with_suffix(".py")])
    return {
        file.relative_to(folder).as_posix(): f"sha256:{hashlib.sha256(file.read_bytes()).hexdigest()}"
        for file in sorted(files)
        if file.is_file()
    }


def own_code_error(path: str, what: str, error: Exception) -> SpecError:
    """Return an error of the user's code in words: what failed, the last line of the user's code, and the reason.

    Args:
        path: The import path of the class.
        what: What failed, such as ``failed in fit``.
        error: The error; a SpecError is returned as it is.
    """
    if isinstance(error, SpecError):
        return error
    module = path.rpartition(".")[0]
    source = getattr(sys.modules.get(module), "__file__", None)
    lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == source]
    place = f" (line {lines[-1]} of {module})" if lines else ""
    reason = str(error).strip().partition("\n")[0] or type(error).__name__
    return SpecError(f"{path} {what}{place}: {reason}")

"""Import every module with graph writers, so that they register themselves."""

from collections.abc import Iterator
from importlib import import_module
from pkgutil import iter_modules

from model_deployer.adoption import graph


def writer_modules() -> Iterator[str]:
    """Yield the names of the modules in the packages of writers, such as ``sklearn`` and ``trees``."""
    for package in iter_modules(graph.__path__, f"{graph.__name__}."):
        if package.ispkg:
            path = import_module(package.name).__path__
            yield from (module.name for module in iter_modules(path, f"{package.name}."))


def register_writers() -> None:
    """Import the modules; a second call changes nothing."""
    for name in writer_modules():
        import_module(name)

"""An object of another library as plain data: its class by name, and its attributes. Nothing of it can be called."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(eq=False)
class StoredObject:
    """An object that was read from a file without importing its class.

    Attributes:
        module, name: Where its class is defined, such as ``sklearn.linear_model._logistic`` and ``LogisticRegression``.
        arguments: The arguments that the class or function was called with when the object was restored.
        state: Its attributes by name: numbers, texts, numpy arrays, lists, tuples, dicts, None, and stored objects.
        is_class: Whether it is the class or function itself, such as ``numpy.log1p``, and not an object of it.
    """

    module: str
    name: str
    arguments: tuple[Any, ...] = ()
    state: dict[str, Any] = field(default_factory=dict)
    is_class: bool = False

    @property
    def library(self) -> str:
        """The package that defines the class: ``sklearn``."""
        return self.module.partition(".")[0]

    @property
    def kind(self) -> str:
        """The class by its package and name, which versions of the package share: ``sklearn.LogisticRegression``."""
        return f"{self.library}.{self.name}"

    @property
    def path(self) -> str:
        """The import path of the class."""
        return f"{self.module}.{self.name}"

    def get(self, name: str, default: Any = None) -> Any:
        """Return an attribute; the default if the version that stored the object did not have it."""
        return self.state.get(name, default)

    def __getitem__(self, name: str) -> Any:
        return self.state[name]

    def __contains__(self, name: str) -> bool:
        return name in self.state


def attributes(value: Any) -> Mapping[str, Any]:
    """Return the attributes of a stored object, or no attributes for another value."""
    return value.state if isinstance(value, StoredObject) else {}

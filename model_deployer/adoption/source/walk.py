"""Visit every object within a value that was read."""

from collections import deque
from collections.abc import Iterator
from typing import Any

import numpy as np

from model_deployer.adoption.stored_object import StoredObject


def stored_objects(value: Any) -> Iterator[StoredObject]:
    """Yield the stored objects within a value, each once, those nearest to the value first."""
    waiting, seen = deque([value]), {id(value)}
    while waiting:
        part = waiting.popleft()
        if isinstance(part, StoredObject):
            yield part
        for child in _children(part):
            if id(child) not in seen:
                seen.add(id(child))
                waiting.append(child)


def _children(part: Any) -> Iterator[Any]:
    if isinstance(part, StoredObject):
        yield part.arguments
        yield part.state
    elif isinstance(part, dict):
        yield from (item for pair in part.items() for item in pair if isinstance(item, _WITH_PARTS))
    elif isinstance(part, list | tuple | set | frozenset | deque):
        yield from (item for item in part if isinstance(item, _WITH_PARTS))
    elif isinstance(part, np.ndarray) and part.dtype == object:
        yield from (item for item in part.flat if isinstance(item, _WITH_PARTS))


_WITH_PARTS = (StoredObject, dict, list, tuple, set, frozenset, deque, np.ndarray)

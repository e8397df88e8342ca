"""The names in a pickled index of pandas, as teams store ``frame.columns``."""

from itertools import pairwise
from typing import Any

import numpy as np

from model_deployer.adoption.stored_object import StoredObject

#: The types of Arrow that hold texts, with the type of their offsets.
_OFFSETS = {"string": "<i4", "large_string": "<i8"}


def index_names(stored: StoredObject) -> list[str] | None:
    """Return the texts of an index, in their order; None for another object, and for an index without texts."""
    if stored.name != "_new_Index" or len(stored.arguments) < 2 or not isinstance(stored.arguments[1], dict):
        return None
    names = _texts(stored.arguments[1].get("data"))
    return names if names and all(isinstance(name, str) for name in names) else None


def _texts(data: Any) -> list[Any] | None:
    """Return the values of an array: one of objects, or a StringArray of pandas 3 with or without pyarrow."""
    if isinstance(data, np.ndarray) and data.ndim == 1:
        return list(data.tolist())
    if not isinstance(data, StoredObject):
        return None
    if isinstance(state := data.get("__state__"), tuple) and len(state) > 1:
        return _texts(state[1])
    arrow = data.get("_pa_array")
    return _arrow_texts(*arrow.arguments[0]) if isinstance(arrow, StoredObject) and arrow.arguments else None


def _arrow_texts(kind: StoredObject, length: int, _nulls: int, start: int, buffers: Any, *_: Any) -> list[str] | None:
    """Return the texts of an array of Arrow: offsets, one more than texts, and their bytes one after the other."""
    code = _OFFSETS.get(str(kind.arguments[0]))
    if code is None or not all(isinstance(buffer, StoredObject) for buffer in buffers[1:]):
        return None
    offsets, content = (bytes(buffer.arguments[0]) for buffer in buffers[1:3])
    ends = np.frombuffer(offsets, code)[start : start + length + 1].tolist()
    return [content[first:last].decode("utf-8", "replace") for first, last in pairwise(ends)]

"""Make sure that code may walk through values that were read: not too deep, and not too much when shared."""

from collections import deque
from collections.abc import Iterable
from typing import Any

from model_deployer.adoption.source.unreadable_source import UnreadableSource
from model_deployer.adoption.stored_object import StoredObject

#: How many containers and objects may be in each other. Functions that walk through them recur once for each.
MAX_DEPTH = 400

#: How many containers and objects a walk may visit that visits shared ones each time.
MAX_VISITS = 100_000_000


def check_nesting(value: Any) -> None:
    """Check that a value can be walked through in reasonable time and depth.

    Raises:
        UnreadableSource: if it is nested too deep, or its parts share parts so often that a walk would not end.
    """
    measured: dict[int, tuple[int, int]] = {}  # depth and visits, by identity; (0, 1) while they are being measured
    waiting = [(value, False)]
    while waiting:
        part, is_ready = waiting.pop()
        if is_ready:
            measured[id(part)] = _measure(part, measured)
        elif id(part) not in measured:
            measured[id(part)] = (0, 1)
            waiting.append((part, True))
            waiting.extend((child, False) for child in _children(part) if id(child) not in measured)


def _measure(part: Any, measured: dict[int, tuple[int, int]]) -> tuple[int, int]:
    depth, visits = 0, 1
    for child in _children(part):
        child_depth, child_visits = measured[id(child)]
        depth, visits = max(depth, child_depth), visits + child_visits
    if depth >= MAX_DEPTH:
        raise UnreadableSource(f"the objects in the file are nested more than {MAX_DEPTH} levels deep")
    if visits > MAX_VISITS:
        raise UnreadableSource("the pickle is built to exhaust this machine: its parts refer to each other many times")
    return depth + 1, visits


def _children(part: Any) -> list[Any]:
    """Return the containers and objects directly within a part."""
    return [item for item in _items(part) if isinstance(item, _WITH_PARTS)]


_WITH_PARTS = (StoredObject, dict, list, tuple, set, frozenset, deque)


def _items(part: Any) -> Iterable[Any]:
    if isinstance(part, StoredObject):
        return (part.arguments, part.state)
    if isinstance(part, dict):
        return (*part.keys(), *part.values())
    return part if isinstance(part, list | tuple | set | frozenset | deque) else ()

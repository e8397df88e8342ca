"""JSON that fits a model of the contract, drawn at random; keys that a model does not know."""

import types
from collections.abc import Callable, Mapping
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from hypothesis import strategies as st

from model_deployer.contract.document import JsonObject

_VALUES: dict[Any, st.SearchStrategy[Any]] = {
    float: st.floats(allow_nan=False, allow_infinity=False),
    int: st.integers(),
    str: st.text(max_size=8),
    bool: st.booleans(),
    type(None): st.none(),
}

#: A key that no version knows, and what may be under it.
UNKNOWN = "a key of a later version"
_ANYTHING = st.none() | st.text(max_size=3) | st.dictionaries(st.text(max_size=3), st.lists(st.integers(), max_size=2))


@st.composite
def json_objects(draw: Callable[[st.SearchStrategy[Any]], Any], model: type[JsonObject]) -> dict[str, Any]:
    """The content of an object, in the order of the model: some optional fields are absent, an unknown key may come."""
    content: dict[str, Any] = {
        name: draw(_values(field.rebuild_annotation()))
        for name, field in model.model_fields.items()
        if field.is_required() or draw(st.booleans())
    }
    if draw(st.booleans()):
        content[UNKNOWN] = draw(_ANYTHING)
    return content


def unknown_keys(content: Any) -> set[str]:
    """The keys in a document, or a part of it, that the models do not know."""
    if isinstance(content, JsonObject):
        own = set(content.model_extra or ())
        return own.union(*(unknown_keys(getattr(content, name)) for name in type(content).model_fields))
    if isinstance(content, Mapping):
        return set().union(*map(unknown_keys, content.values()))
    return set().union(*map(unknown_keys, content)) if isinstance(content, tuple) else set()


def _values(annotation: Any) -> st.SearchStrategy[Any]:
    """What may be under a field of this type."""
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return _values(arguments[0])
    if origin in (Union, types.UnionType):
        return st.one_of([_values(each) for each in arguments])
    if origin is Literal:
        return st.sampled_from(arguments)
    if origin is tuple:
        return st.lists(_values(arguments[0]), max_size=2)
    if isinstance(origin, type) and issubclass(origin, Mapping):
        return st.dictionaries(st.text(max_size=4), _values(arguments[1]), max_size=2)
    return json_objects(annotation) if issubclass(annotation, JsonObject) else _VALUES[annotation]

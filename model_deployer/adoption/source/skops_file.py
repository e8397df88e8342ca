"""Read a file of skops without importing anything of it: a tree in JSON, and arrays next to it in a ZIP archive."""

import json
import zipfile
from io import BytesIO
from typing import Any

import numpy as np

from model_deployer.adoption.source import numpy_values
from model_deployer.adoption.source.nesting import check_nesting
from model_deployer.adoption.source.unreadable_source import UnreadableSource
from model_deployer.adoption.stored_object import StoredObject

#: The largest array or tree in the archive, decompressed.
MAX_MEMBER_BYTES = 4 << 30

_SCHEMA = "schema.json"


def read_skops(content: bytes) -> object:
    """Return what a file of skops holds, in the form of :func:`~.pickle_file.read_pickle`.

    Raises:
        UnreadableSource: if the file is damaged.
    """
    try:
        with zipfile.ZipFile(BytesIO(content)) as archive:
            value = _Reader(archive).value(json.loads(_member(archive, _SCHEMA)))
    except UnreadableSource:
        raise
    except Exception as error:  # a damaged file fails in many ways
        raise UnreadableSource("the file of skops is damaged; hand over the original file") from error
    check_nesting(value)
    return value


def skops_version(content: bytes) -> str | None:
    """Return the version of skops that wrote a file, if it says it."""
    try:
        with zipfile.ZipFile(BytesIO(content)) as archive:
            return str(json.loads(_member(archive, _SCHEMA)).get("_skops_version") or "") or None
    except (ValueError, KeyError, zipfile.BadZipFile):
        return None


class _Reader:
    """The values of the nodes of one file; a node may refer to an earlier one by its number."""

    def __init__(self, archive: zipfile.ZipFile) -> None:
        self._archive = archive
        self._known: dict[int, Any] = {}

    def value(self, node: dict[str, Any]) -> Any:
        loader, number = node["__loader__"], node.get("__id__")
        if loader == "CachedNode":
            return self._known[number]  # type: ignore[index]  # a damaged file is caught
        value = self._new_value(loader, node)
        if number is not None:
            self._known.setdefault(number, value)
        return value

    def _new_value(self, loader: str, node: dict[str, Any]) -> Any:
        content: Any = node.get("content")
        match loader:
            case "JsonNode":
                return json.loads(content) if node.get("is_json", True) else content
            case "ListNode":
                return [self.value(item) for item in content or ()]
            case "TupleNode":
                return tuple(self.value(item) for item in content or ())
            case "SetNode":
                return {self.value(item) for item in content or ()}
            case "DictNode" | "OrderedDictNode":
                return self._dict(node)
            case "DefaultDictNode":
                return self.value((content or {})["main"])
            case "SliceNode":
                content = content or {}
                return slice(content["start"], content["stop"], content["step"])
            case "NdArrayNode":
                return self._array(node)
            case "DTypeNode":
                return self.value(content or {}).dtype
            case "TypeNode" | "FunctionNode":
                names = content if loader == "FunctionNode" and isinstance(content, dict) else node
                name = names.get("function") or names.get("__class__")
                return StoredObject(names.get("module_path") or names["__module__"], str(name), is_class=True)
            case _:
                return self._object(node)

    def _dict(self, node: dict[str, Any]) -> dict[Any, Any]:
        """Return a dict; JSON has turned its keys into texts, whose types are listed apart."""
        types = [kind.name for kind in self.value(node["key_types"])] if "key_types" in node else []
        items = {}
        for index, (key, item) in enumerate(node["content"].items()):
            kind = types[index] if index < len(types) else "str"
            items[_key(key, kind)] = self.value(item)
        return items

    def _array(self, node: dict[str, Any]) -> Any:
        if node["type"] == "numpy":
            content = _member(self._archive, node["file"])
            array = np.lib.format.read_array(BytesIO(content), allow_pickle=False, max_header_size=10_000)
            return array if node["__class__"] == "ndarray" or array.ndim else array[()]
        items, shape = [self.value(item) for item in node["content"]], self.value(node["shape"])
        for _ in shape[1:]:  # an array of several dimensions is a list of lists
            if all(isinstance(item, list | np.ndarray) for item in items):
                items = [value for item in items for value in item]
        if numpy_values.element_count(tuple(shape)) != len(items):
            raise UnreadableSource("the file of skops has an array whose shape does not fit its data")
        array = np.empty(len(items), object)
        array[:] = items
        return array.reshape(shape)

    def _object(self, node: dict[str, Any]) -> StoredObject:
        """Return an object: its attributes, and the arguments of its constructor."""
        content, reduced = node.get("content"), node.get("__reduce__") or {}
        state = self.value(content) if isinstance(content, dict) and "__loader__" in content else {}
        arguments = self.value(reduced["args"]) if "args" in reduced else ()
        named = {str(name): item for name, item in state.items()} if isinstance(state, dict) else {"__state__": state}
        return StoredObject(node["__module__"], node["__class__"], tuple(arguments), named)


def _key(key: str, kind: str) -> Any:
    if kind == "str":
        return key
    if kind in ("bool", "bool_"):
        return key == "True"
    return float(key) if "float" in kind else int(key) if "int" in kind else key


def _member(archive: zipfile.ZipFile, name: str) -> bytes:
    if archive.getinfo(name).file_size > MAX_MEMBER_BYTES:
        raise UnreadableSource("the file of skops is built to exhaust this machine")
    return archive.read(name)

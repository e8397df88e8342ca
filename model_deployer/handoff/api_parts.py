"""The two parts of a server's OpenAPI document: the model's own API, and the routes for clients of other servers."""

from collections.abc import Iterator
from typing import Any

from model_deployer.package.package_data import OTHER_SPECIFICATION, OWN_ENDPOINTS, SPECIFICATION


def split(document: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Return the parts of a document by the name of their file; a part without routes is left out.

    A path is in one part only, with all its methods: a reader may conclude that it has no others.
    """
    paths = document["paths"]
    own = {endpoint.partition(" ")[2] for endpoint in OWN_ENDPOINTS}
    parts = {
        SPECIFICATION: {path: paths[path] for path in paths if path in own},
        OTHER_SPECIFICATION: {path: paths[path] for path in paths if path not in own},
    }
    return {name: _part(document, part) for name, part in parts.items() if part}


def _part(document: dict[str, Any], paths: dict[str, Any]) -> dict[str, Any]:
    """Return a document with some of the paths, and with the schemas that they use."""
    schemas = document["components"]["schemas"]
    used = _used(paths, schemas)
    components = document["components"] | {"schemas": {name: schemas[name] for name in schemas if name in used}}
    return document | {"paths": paths, "components": components}


def _used(paths: dict[str, Any], schemas: dict[str, Any]) -> set[str]:
    """Return the names of the schemas that operations refer to, directly or through other schemas."""
    used: set[str] = set()
    waiting = list(_references(paths))
    while waiting:
        name = waiting.pop()
        if name not in used:
            used.add(name)
            waiting += _references(schemas[name])
    return used


def _references(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        reference = value.get("$ref")
        if isinstance(reference, str):
            yield reference.rpartition("/")[2]
    for child in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        yield from _references(child)

"""Which versions of libraries wrote a file, as its bytes say it."""

import re
from collections.abc import Iterable
from typing import Any

from model_deployer.adoption.source.pickle_scan import Import
from model_deployer.adoption.source.walk import stored_objects
from model_deployer.adoption.stored_object import StoredObject

#: Where estimators of a library keep the version that fitted them.
_VERSION_ATTRIBUTES = {"_sklearn_version": "scikit-learn", "_imblearn_version": "imbalanced-learn"}

#: The version in bytes of a booster: JSON and UBJSON of XGBoost, cbm of CatBoost.
_XGBOOST_JSON = re.compile(rb'"version"\s*:\s*\[\s*(\d+)\s*,\s*(\d+)\s*,\s*(\d+)\s*\]')
_XGBOOST_UBJSON = re.compile(rb"version\[(?:#[iUIlL]|\$([iUIlL])#[iUIlL])", re.DOTALL)
_CATBOOST = re.compile(rb"(?:CatBoost release |Branch: tags/v)(\d+(?:\.\d+)+)")


def versions_of_object(value: Any, imports: Iterable[Import] = ()) -> dict[str, str]:
    """Return the versions of libraries that stored objects state, by the name of their package.

    Args:
        value: What a pickle holds.
        imports: The classes that it names; some exist only in some versions.

    Returns:
        A version such as ``1.3.2``, or a range such as ``>=2`` if the file only proves that.
    """
    versions: dict[str, str] = {}
    for stored in stored_objects(value):
        for attribute, package in _VERSION_ATTRIBUTES.items():
            if isinstance(version := stored.get(attribute), str):
                versions.setdefault(package, version)
        for data in _booster_bytes(stored):
            versions |= versions_of_booster(data) or _range_of_booster(data)
        if _is_old_lightgbm(stored):
            versions.setdefault("lightgbm", "<3.3")
    return versions | _ranges(imports)


def versions_of_booster(content: bytes) -> dict[str, str]:
    """Return the version in the bytes of a booster of XGBoost or CatBoost; LightGBM states none."""
    if match := _XGBOOST_JSON.search(content):
        return {"xgboost": b".".join(match.groups()).decode()}
    if version := _ubjson_version(content):
        return {"xgboost": version}
    if match := _CATBOOST.search(content):
        return {"catboost": match[1].decode()}
    return {}


def _range_of_booster(content: bytes) -> dict[str, str]:
    """Return what the format of a booster in a pickle of XGBoost proves: binary ones of 0.90 are not read by 1.0."""
    if content.startswith(b"CONFIG-offset:"):
        return {"xgboost": ">=1,<3.1"}
    is_binary = any(name in content[:1024] for name in (b"gbtree", b"dart")) and content[:1] != b"{"
    return {"xgboost": "<1"} if is_binary else {}


def _is_old_lightgbm(stored: StoredObject) -> bool:
    """Return whether an estimator of LightGBM is fitted, but does not say so as newer versions want it."""
    return stored.library == "lightgbm" and stored.get("_Booster") is not None and "fitted_" not in stored


def _booster_bytes(stored: StoredObject) -> list[bytes]:
    if stored.library not in ("xgboost", "catboost"):
        return []
    values = [*stored.arguments, *stored.state.values()]
    return [bytes(value) for value in values if isinstance(value, bytes | bytearray)]


def _ubjson_version(content: bytes) -> str | None:
    """Read the three numbers after the key ``version``: with a type of their own each, or with one for all."""
    match = _XGBOOST_UBJSON.search(content)
    if match is None:
        return None
    sizes = {b"i": 1, b"U": 1, b"I": 2, b"l": 4, b"L": 8}
    place, numbers = match.end() + _size_of_count(content, match.end() - 1, sizes), []
    for _ in range(3):
        code = match[1] or content[place : place + 1]
        place += 0 if match[1] else 1
        size = sizes.get(code)
        if size is None:
            return None
        numbers.append(int.from_bytes(content[place : place + size], "big"))
        place += size
    return ".".join(map(str, numbers))


def _size_of_count(content: bytes, place: int, sizes: dict[bytes, int]) -> int:
    return sizes[content[place : place + 1]]


def _ranges(imports: Iterable[Import]) -> dict[str, str]:
    """Return what the places of classes prove: numpy 2 moved its core."""
    modules = [item.module for item in imports]
    if any(module.startswith("numpy._core") for module in modules):
        return {"numpy": ">=2"}
    if any(module.startswith("numpy.core") for module in modules):
        return {"numpy": "<2"}
    return {}

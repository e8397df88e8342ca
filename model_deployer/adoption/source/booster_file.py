"""What the files of XGBoost, LightGBM and CatBoost say of their columns."""

import json
from typing import Any

from model_deployer.adoption.source.statement import Statement

#: The line of a file of LightGBM with the names of its columns, which have no spaces.
_LIGHTGBM_NAMES = b"\nfeature_names="


def booster_statements(name: str, content: bytes) -> tuple[Statement, ...]:
    """Return the columns that a booster names; none for binary files, and for columns without names.

    Args:
        name: The name of the file.
        content: Its bytes: JSON of XGBoost or CatBoost, or the text of LightGBM.
    """
    names: list[str] = []
    if _LIGHTGBM_NAMES in content:
        line = content.split(_LIGHTGBM_NAMES, 1)[1].split(b"\n", 1)[0]
        names = line.decode("utf-8", "replace").split()
    elif content[:1] == b"{":
        names = _names_in_json(content)
    is_numbered = all(item == f"Column_{index}" for index, item in enumerate(names))  # LightGBM's own names
    return () if is_numbered else (Statement("columns", names, "bytes", name),)


def _names_in_json(content: bytes) -> list[str]:
    try:
        value: Any = json.loads(content)
        if "learner" in value:
            return [str(item) for item in value["learner"].get("feature_names") or ()]
        information = value["features_info"]
        features = [*information.get("float_features", ()), *information.get("categorical_features", ())]
    except (ValueError, KeyError, TypeError, AttributeError):
        return []
    features.sort(key=lambda feature: feature["flat_feature_index"])
    names = [str(feature.get("feature_id", "")) for feature in features]
    return names if all(names) and names != [str(index) for index in range(len(names))] else []

"""What the files of XGBoost, LightGBM and CatBoost say of their columns."""

import json
from typing import Any

from model_deployer.adoption.source.statement import Statement

#: The line of a file of LightGBM with the names of its columns, which have no spaces.
_LIGHTGBM_NAMES = b"\nfeature_names="


def booster_statements(name: str, content: bytes) -> tuple[Statement, ...]:
    """Return the columns that a booster names, and their number; none for binary files.

    Args:
        name: The name of the file.
        content: Its bytes: JSON of XGBoost or CatBoost, or the text of LightGBM.
    """
    names: list[str] = []
    width: int | None = None
    if _LIGHTGBM_NAMES in content:
        line = content.split(_LIGHTGBM_NAMES, 1)[1].split(b"\n", 1)[0]
        names = line.decode("utf-8", "replace").split()
        width = len(names)
    elif content[:1] == b"{":
        names, width = _columns_in_json(content)
    is_numbered = all(item == f"Column_{index}" for index, item in enumerate(names))  # LightGBM's own names
    columns = () if is_numbered else (Statement("columns", names, "bytes", name),)
    return columns if width is None else (*columns, Statement("width", width, "bytes", name))


def _columns_in_json(content: bytes) -> tuple[list[str], int | None]:
    """Return the names of the columns, which may be none, and their number."""
    try:
        value: Any = json.loads(content)
        if "learner" in value:
            learner = value["learner"]
            names = [str(item) for item in learner.get("feature_names") or ()]
            return names, int(learner["learner_model_param"]["num_feature"])
        information = value["features_info"]
        features = [*information.get("float_features", ()), *information.get("categorical_features", ())]
    except (ValueError, KeyError, TypeError, AttributeError):
        return [], None
    features.sort(key=lambda feature: feature["flat_feature_index"])
    names = [str(feature.get("feature_id", "")) for feature in features]
    is_named = all(names) and names != [str(index) for index in range(len(names))]
    return names if is_named else [], len(features)

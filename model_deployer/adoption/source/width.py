"""How many columns an object takes and gives, which proves or refutes that two objects belong together."""

from typing import Any

import numpy as np

from model_deployer.adoption.source.pandas_index import index_names
from model_deployer.adoption.source.role import fitted_model
from model_deployer.adoption.stored_object import StoredObject

#: Attributes of fitted objects whose length is the number of columns that they take.
_PER_COLUMN = ("feature_names_in_", "mean_", "scale_", "min_", "center_", "categories_", "statistics_", "lambdas_")
_COUNTS = ("n_features_in_", "n_features_", "_n_features", "_n_features_in")


def width_in(stored: StoredObject) -> int | None:
    """Return how many columns an object takes; None if it does not say it, 1 for texts."""
    if stored.name == "Pipeline" and stored.get("steps"):
        first = stored["steps"][0][1]
        return width_in(first) if isinstance(first, StoredObject) else None
    if isinstance(best := stored.get("best_estimator_"), StoredObject):
        return width_in(best)
    for name in _COUNTS:
        if isinstance(count := stored.get(name), int | np.integer):
            return int(count)
    if stored.name.endswith("Vectorizer"):
        return 1
    for name in _PER_COLUMN:
        if isinstance(values := stored.get(name), np.ndarray | list):
            return len(values)
    return _width_of_coefficients(stored)


def width_out(stored: StoredObject) -> int | None:
    """Return how many columns a transformer gives; None if it does not say it."""
    stored = fitted_model(stored)
    if isinstance(vocabulary := stored.get("vocabulary_"), dict):
        return len(vocabulary)
    if stored.name == "OneHotEncoder":
        return _one_hot_width(stored)
    for name in ("n_components_", "n_output_features_"):
        if isinstance(count := stored.get(name), int | np.integer):
            return int(count)
    if isinstance(kept := stored.get("support_"), np.ndarray):
        return int(kept.sum())
    if stored.name == "SelectKBest" and isinstance(stored.get("k"), int) and width_in(stored):
        return min(int(stored["k"]), width_in(stored) or 0)
    if stored.name in ("ColumnTransformer", "FeatureUnion", "KBinsDiscretizer") or stored.name.startswith("Select"):
        return None
    return width_in(stored)


def feature_names(stored: StoredObject) -> list[str] | None:
    """Return the names of the columns that an object takes, in their order; None if it does not know them."""
    holders: list[Any] = [stored, stored.get("best_estimator_")]
    if stored.get("steps"):
        holders += [step[1] for step in stored["steps"][:1]]
    for holder in holders:
        for name in ("feature_names_in_", "feature_name_", "feature_names_"):
            if isinstance(holder, StoredObject) and isinstance(names := holder.get(name), np.ndarray | list):
                return [str(item) for item in names]
        if isinstance(holder, StoredObject) and isinstance(index := holder.get("_df_columns"), StoredObject):
            return index_names(index)  # the column transformer of versions 0.20 to 0.23
    return None


def class_labels(stored: StoredObject) -> list[Any] | None:
    """Return the classes of a model in its own order; None for a quantity and for several outputs."""
    for holder in (stored, fitted_model(stored)):
        for name in ("classes_", "_classes"):
            if isinstance(classes := holder.get(name), np.ndarray | list):
                has_several_outputs = any(isinstance(labels, np.ndarray | list) for labels in classes)
                return None if has_several_outputs else list(np.asarray(classes).tolist())
    count = fitted_model(stored).get("n_classes_")
    is_xgboost = stored.library == "xgboost" and isinstance(count, int)
    return list(range(count)) if is_xgboost and isinstance(count, int) else None


def _width_of_coefficients(stored: StoredObject) -> int | None:
    for name in ("coef_", "feature_log_prob_", "theta_", "_fit_X", "support_vectors_", "cluster_centers_"):
        if isinstance(values := stored.get(name), np.ndarray) and values.ndim:
            return int(values.shape[-1])
    return None


def _one_hot_width(stored: StoredObject) -> int | None:
    categories = stored.get("categories_")
    if not isinstance(categories, list) or stored.get("drop") is not None or stored.get("_infrequent_enabled"):
        return None
    return sum(len(values) for values in categories)

"""What an object is for: a model, a step before it, a list of columns, labels; or not a model at all."""

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from model_deployer.adoption.source.pandas_index import index_names
from model_deployer.adoption.stored_object import StoredObject

#: ``bundle``: a dict or list with several parts. ``other``: not a part of a model.
Kind = Literal["model", "transformer", "label_encoder", "columns", "labels", "function", "bundle", "other"]

_LABEL_ENCODERS = {"LabelEncoder", "LabelBinarizer", "MultiLabelBinarizer"}
_TRANSFORMER_ENDINGS = ("Scaler", "Encoder", "Vectorizer", "Imputer", "Transformer", "Discretizer", "Normalizer")
_TRANSFORMERS = {
    *(
        "PCA",
        "TruncatedSVD",
        "NMF",
        "KernelPCA",
        "PolynomialFeatures",
        "SplineTransformer",
        "Binarizer",
        "FeatureUnion",
    ),
    *("SelectKBest", "SelectPercentile", "SelectFromModel", "VarianceThreshold", "RFE", "RFECV", "MissingIndicator"),
    *("FeatureHasher", "TSNE", "FastICA", "IncrementalPCA", "SparsePCA", "DataFrameMapper"),
}
_SEARCHES = {"GridSearchCV", "RandomizedSearchCV", "HalvingGridSearchCV", "HalvingRandomSearchCV", "BayesSearchCV"}
_TABLES = {"DataFrame", "Series", "Index", "RangeIndex", "_new_Index"}
_BY_VALUE = {"cloudpickle", "dill"}
_EXPLAINERS = {"shap", "lime"}
_REFERENCE_ATTRIBUTES = {"_model", "_Booster", "_Booster_", "__model", "handle"}


@dataclass(frozen=True)
class Role:
    """What an object is for.

    Attributes:
        kind: Its kind.
        advice: For what is not a part of a model: what it is, and what to hand over instead. Else None.
    """

    kind: Kind
    advice: str | None = None


def column_names(value: Any) -> list[str] | None:
    """Return the names in a list, tuple, array of texts or index of pandas; None for anything else."""
    if isinstance(value, StoredObject):
        return index_names(value)
    if isinstance(value, np.ndarray):
        value = value.tolist() if value.ndim == 1 else None
    is_list = isinstance(value, list | tuple) and value and all(isinstance(item, str) for item in value)
    return list(value) if is_list else None


def role_of(value: Any) -> Role:
    """Return what an object of a pickle is for."""
    if column_names(value) is not None:
        return Role("columns")
    if isinstance(value, StoredObject):
        return _role_of_object(value)
    if isinstance(value, np.ndarray):
        return Role("other", "is an array of numbers: hand over the fitted model")
    if isinstance(value, dict):
        return _role_of_dict(value)
    if isinstance(value, list | tuple) and any(role_of(item).kind in ("model", "transformer") for item in value):
        return Role("bundle")
    name = type(value).__name__
    return Role("other", f"holds a value of the type {name} and not a model: hand over the fitted model")


def is_fitted(stored: StoredObject) -> bool:
    """Return whether an estimator has learned something: attributes that end with an underscore, or a booster."""
    if stored.name in ("Pipeline", "FeatureUnion"):
        steps = [step[1] for step in stored.get("steps") or stored.get("transformer_list") or ()]
        return any(isinstance(step, StoredObject) and is_fitted(step) for step in steps)
    if stored.library not in ("sklearn", "xgboost", "lightgbm", "catboost"):
        return True
    names = stored.state.keys()
    return any(name.endswith("_") for name in names) or any(stored.get(name) for name in _REFERENCE_ATTRIBUTES)


def fitted_model(stored: StoredObject) -> StoredObject:
    """Return the model that makes the answers: the last step of a pipeline, the best one of a search."""
    inner = stored.get("best_estimator_") if stored.name in _SEARCHES else None
    if stored.name == "Pipeline" and stored.get("steps"):
        inner = stored["steps"][-1][1]
    return fitted_model(inner) if isinstance(inner, StoredObject) else stored


def _role_of_object(stored: StoredObject) -> Role:
    if stored.library in _BY_VALUE:
        return Role("function")
    if stored.is_class and stored.name[:1].islower():
        return Role("other", f"is a reference to the function '{stored.name}': hand over the fitted model")
    if stored.is_class:
        return Role("other", f"is a reference to the class '{stored.name}': hand over the fitted object of it")
    if stored.name in _TABLES or stored.library in ("pandas", "polars", "pyarrow"):
        return Role("other", "is a table and not a model: pass it with --data")
    if stored.library in _EXPLAINERS:
        return Role("other", "explains the answers of a model and is not one: hand over the fitted model")
    if stored.library == "scipy":
        return Role("other", "is an array of numbers: hand over the fitted model")
    if not is_fitted(stored):
        return Role("other", f"is a '{stored.name}' that was not fitted: store it after 'fit'")
    model = fitted_model(stored)
    if model.name in _LABEL_ENCODERS:
        return Role("label_encoder")
    is_transformer = model.name.endswith(_TRANSFORMER_ENDINGS) or model.name in _TRANSFORMERS
    return Role("transformer" if is_transformer else "model")


def _role_of_dict(value: dict[Any, Any]) -> Role:
    if not value:
        return Role("other", "is an empty dict: hand over the fitted model")
    kinds = {role_of(item).kind for item in value.values() if isinstance(item, StoredObject)}
    if kinds & {"model", "transformer", "label_encoder"}:
        return Role("bundle")
    if {"state_dict", "pytorch-lightning_version"} & value.keys():
        return Role("other", "is a checkpoint: hand over the whole network, exported with 'torch.export.save'")
    if all(isinstance(item, str) for item in value.values()):
        return Role("labels")
    if all(isinstance(item, int | np.integer) for item in value.values()) and all(isinstance(k, str) for k in value):
        return Role("labels")
    keys = ", ".join(f"'{key}'" for key in list(value)[:3])
    return Role("other", f"is a dict with {keys} and no fitted model: hand over the fitted model")

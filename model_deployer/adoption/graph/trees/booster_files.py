"""Files of boosters that are not pickles, as the objects that the libraries make of them."""

from collections.abc import Callable

from model_deployer.adoption.graph.trees.catboost_file import is_catboost_json
from model_deployer.adoption.graph.trees.catboost_model import catboost_fields, read_catboost
from model_deployer.adoption.graph.trees.lightgbm_model import lightgbm_fields, read_lightgbm
from model_deployer.adoption.graph.trees.lightgbm_text import is_lightgbm_text
from model_deployer.adoption.graph.trees.xgboost_file import is_xgboost_file
from model_deployer.adoption.graph.trees.xgboost_model import read_xgboost, xgboost_fields
from model_deployer.adoption.stored_object import StoredObject

_FIELDS: dict[str, Callable[[StoredObject], list[str] | None]] = {
    "lightgbm": lightgbm_fields,
    "xgboost": xgboost_fields,
    "catboost": catboost_fields,
}


def read_booster_file(content: bytes) -> StoredObject | None:
    """Return the model that a file holds: LightGBM's text, XGBoost's JSON and UBJSON, or CatBoost's JSON.

    Returns:
        The model as its pickle would give it; None if the file is none of these, as far as its first bytes tell.

    Raises:
        UnsupportedModel: if the file is one of these, but is damaged, or of a version without a reader.
    """
    if is_lightgbm_text(content):
        return read_lightgbm(content)
    if is_catboost_json(content):
        return read_catboost(content)
    return read_xgboost(content) if is_xgboost_file(content) else None


def booster_fields(stored: StoredObject) -> list[str] | None:
    """Return the names of the input columns of a model of LightGBM, XGBoost or CatBoost, in their order.

    Returns:
        The names; None if the model was trained without names, or is of another library.

    Raises:
        UnsupportedModel: if the model is not fitted or is damaged.
    """
    return _FIELDS[stored.library](stored) if stored.library in _FIELDS else None

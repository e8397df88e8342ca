"""Files of boosters that are not pickles, as the objects that the libraries make of them."""

from collections.abc import Callable

from model_deployer.adoption.graph.trees.catboost_file import is_catboost_json
from model_deployer.adoption.graph.trees.catboost_model import catboost_columns, read_catboost
from model_deployer.adoption.graph.trees.lightgbm_model import lightgbm_columns, read_lightgbm
from model_deployer.adoption.graph.trees.lightgbm_text import is_lightgbm_text
from model_deployer.adoption.graph.trees.xgboost_file import is_xgboost_file
from model_deployer.adoption.graph.trees.xgboost_model import read_xgboost, xgboost_columns
from model_deployer.adoption.stored_object import StoredObject

#: By library: the names of the columns, and None for one without a name.
_COLUMNS: dict[str, Callable[[StoredObject], list[str | None]]] = {
    "lightgbm": lightgbm_columns,
    "xgboost": xgboost_columns,
    "catboost": catboost_columns,
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
    names = [name for name in _columns(stored) or [] if name is not None]
    return names or None


def booster_width(stored: StoredObject) -> int | None:
    """Return the number of input columns of such a model; None for a model of another library.

    Raises:
        UnsupportedModel: if the model is not fitted or is damaged.
    """
    columns = _columns(stored)
    return None if columns is None else len(columns)


def _columns(stored: StoredObject) -> list[str | None] | None:
    return _COLUMNS[stored.library](stored) if stored.library in _COLUMNS else None

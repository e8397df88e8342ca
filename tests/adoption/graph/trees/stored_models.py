"""Models of other versions of the libraries, with the libraries' own answers, as files for the tests.

Run it in an environment with the version of the library, and with onnx and onnxruntime:

    PYTHONPATH=. python -m tests.adoption.graph.trees.stored_models lightgbm
"""

import importlib
import json
import lzma
import pickle
import sys
import tempfile
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from model_deployer.adoption.graph.frame import Frame
from model_deployer.adoption.graph.graph_writer import GraphWriter
from model_deployer.adoption.graph.registry import write_predictor
from model_deployer.adoption.graph.trees import (  # noqa: F401 (they register the writers)
    catboost_model,
    lightgbm_model,
    sklearn_boosting,
    sklearn_ensembles,
    sklearn_hist_boosting,
    sklearn_trees,
    xgboost_model,
)
from model_deployer.adoption.source.pickle_file import read_pickle
from model_deployer.adoption.stored_object import StoredObject
from tests.adoption.graph.trees.graphs import Rows, matrix, probe_rows

FOLDER = Path(__file__).parent / "stored_models"

_ROWS, _PROBES = 250, 30
_EXTRA = (0.0, -0.0, 2.0**24 + 1, 3.5, -0.5, -1.0, -250.0, 259.0, 2.0**31 + 3)
_RANDOM = np.random.default_rng(11)
_NUMBERS = {
    "a": np.round(_RANDOM.normal(size=_ROWS), 3),
    "b": np.round(_RANDOM.normal(size=_ROWS) * 1e5) + 1.4e8,
    "k": _RANDOM.integers(0, 6, _ROWS).astype(float),
}
_MISSING = {name: np.where(_RANDOM.random(_ROWS) < 0.1, np.nan, column) for name, column in _NUMBERS.items()}
_TEXTS = {
    "a": _MISSING["a"],
    "t": np.array(["u", "v", "w", "x"], object)[_RANDOM.integers(0, 4, _ROWS)],
    "s": np.array(["A", "B", "C"], object)[_RANDOM.integers(0, 3, _ROWS)],
}
_NUMBER = (
    _NUMBERS["a"] + np.isin(_NUMBERS["k"], [1, 4]) * 2 + (_NUMBERS["b"] > 1.4e8) + _RANDOM.normal(size=_ROWS) * 0.1
)
_TEXT_NUMBER = _NUMBERS["a"] + 3.0 * (np.isin(_TEXTS["t"], ["u", "w"]) ^ (_TEXTS["s"] == "B"))
_TWO, _THREE = np.array(["no", "yes"])[(_NUMBER > 1.5).astype(int)], np.digitize(_NUMBER, [0.5, 2.0])
_TEXT_TWO = (_TEXT_NUMBER > 1.5).astype(int)

#: A name, a fitted model or booster, its table, what turns rows into the library's input, and its file if not a pickle.
_Case = tuple[str, Any, Rows, Callable[[Rows], Any], bytes | None]


def write_file(library: str) -> None:
    """Write the file of one library.

    Args:
        library: "sklearn", "lightgbm", "xgboost" or "catboost".
    """
    version = importlib.import_module(library).__version__
    cases = [_case(*case) for case in _CASES[library]()]
    FOLDER.mkdir(exist_ok=True)
    content = lzma.compress(json.dumps(cases).encode(), preset=9)
    (FOLDER / f"{library}-{version}.json.xz").write_bytes(content)
    print(library, version, len(cases), "models,", len(content), "bytes")


def read_file(path: Path) -> list[dict[str, Any]]:
    """Return the models of one file: the name, the content, whether it is a pickle, the rows, and the answers."""
    cases: list[dict[str, Any]] = json.loads(lzma.decompress(path.read_bytes()))
    for case in cases:
        case["content"] = bytes.fromhex(case["content"])
        case["rows"] = {name: np.array(column, _kind(column)) for name, column in case["rows"].items()}
    return cases


def _kind(column: list[Any]) -> type:
    return object if isinstance(column[0], str) else float


def _case(name: str, model: Any, table: Rows, convert: Callable[[Rows], Any], file: bytes | None) -> dict[str, Any]:
    content = file or pickle.dumps(model, protocol=4)
    rows = probe_rows(_writer(content, file is None, table), table, _EXTRA, _PROBES)
    rows = {column: values[-_PROBES - 5 :] for column, values in rows.items()}
    if "t" in rows:
        known = np.isin(rows["t"], _TEXTS["t"]) | (file is not None)
        rows = {column: values[known] for column, values in rows.items()}
    answers = model.predict_proba(convert(rows)) if hasattr(model, "predict_proba") else model.predict(convert(rows))
    return {
        "name": name,
        "pickle": file is None,
        "content": content.hex(),
        "rows": {column: values.tolist() for column, values in rows.items()},
        "answers": np.round(np.asarray(answers, np.float64), 9).tolist(),
        "decisions": np.ravel(model.predict(convert(rows))).tolist() if hasattr(model, "predict_proba") else None,
    }


def _writer(content: bytes, is_pickle: bool, table: Rows) -> GraphWriter:
    model = read_pickle(content) if is_pickle else catboost_model.read_catboost(content)
    assert isinstance(model, StoredObject)
    writer = GraphWriter()
    write_predictor(model, Frame.of_fields(list(table)), writer)
    return writer


def _sklearn() -> Iterator[_Case]:
    ensemble, tree = importlib.import_module("sklearn.ensemble"), importlib.import_module("sklearn.tree")

    def fit(model: Any, target: Any, table: Rows = _NUMBERS) -> _Case:
        return str(model), model.fit(matrix(table), target), table, matrix, None

    small: dict[str, Any] = {"n_estimators": 3, "random_state": 0}
    hist: dict[str, Any] = {
        "max_iter": 4,
        "max_leaf_nodes": 6,
        "max_bins": 16,
        "min_samples_leaf": 5,
        "random_state": 0,
    }
    yield fit(tree.DecisionTreeClassifier(max_depth=3, class_weight="balanced"), _THREE)
    yield fit(ensemble.RandomForestClassifier(max_depth=3, **small), _THREE)
    yield fit(ensemble.RandomForestClassifier(max_depth=3, **small), _TWO)
    yield fit(ensemble.ExtraTreesRegressor(max_depth=3, **small), _NUMBER)
    yield fit(ensemble.GradientBoostingClassifier(max_depth=2, **small), _TWO)
    yield fit(ensemble.GradientBoostingClassifier(max_depth=2, **small), _THREE)
    yield fit(ensemble.GradientBoostingClassifier(max_depth=2, loss="exponential", **small), _TWO)
    yield fit(ensemble.GradientBoostingRegressor(max_depth=2, loss="huber", **small), _NUMBER)
    yield fit(ensemble.AdaBoostClassifier(algorithm="SAMME", **small), _TWO)
    yield fit(ensemble.AdaBoostClassifier(algorithm="SAMME", **small), _THREE)
    yield fit(ensemble.AdaBoostClassifier(algorithm="SAMME.R", **small), _THREE)
    yield fit(ensemble.AdaBoostRegressor(**small), _NUMBER)
    yield fit(ensemble.BaggingClassifier(tree.DecisionTreeClassifier(max_depth=3), max_features=2, **small), _THREE)
    yield fit(ensemble.HistGradientBoostingClassifier(**hist), _THREE, _MISSING)
    yield fit(ensemble.HistGradientBoostingClassifier(categorical_features=[2], **hist), _TWO, _MISSING)
    yield fit(ensemble.HistGradientBoostingRegressor(loss="poisson", **hist), np.exp(_NUMBER))


def _lightgbm() -> Iterator[_Case]:
    lightgbm, pandas = importlib.import_module("lightgbm"), importlib.import_module("pandas")

    small: dict[str, Any] = {"n_estimators": 4, "num_leaves": 6, "min_child_samples": 5, "verbose": -1, "n_jobs": 1}

    def frame(rows: Rows) -> Any:
        return pandas.DataFrame(rows).astype({"t": "category", "s": "category"})

    def fit(target: Any, table: Rows = _MISSING, **parameters: Any) -> _Case:
        kind = lightgbm.LGBMRegressor if target is _NUMBER else lightgbm.LGBMClassifier
        return str(parameters), kind(**small, **parameters).fit(matrix(table), target), table, matrix, None

    yield fit(_TWO)
    yield fit(_THREE)
    yield fit(_TWO, boosting_type="rf", subsample_freq=1, subsample=0.5)
    yield fit(_NUMBER, boosting_type="dart")
    yield fit(_NUMBER, zero_as_missing=True)
    yield fit(_NUMBER, linear_tree=True)
    model = lightgbm.LGBMClassifier(**small, min_data_per_group=5, cat_smooth=1).fit(frame(_TEXTS), _TEXT_TWO)
    yield "categories", model, _TEXTS, frame, None


def _xgboost() -> Iterator[_Case]:
    xgboost = importlib.import_module("xgboost")

    small: dict[str, Any] = {"n_estimators": 4, "max_depth": 3, "random_state": 0, "n_jobs": 1}
    number = {name: np.nan_to_num(column, nan=-999.0) for name, column in _MISSING.items()}
    codes = _THREE, (_TWO == "yes").astype(int)

    def fit(kind: str, target: Any, table: Rows = _MISSING, **parameters: Any) -> _Case:
        model = getattr(xgboost, kind)(**{**small, **parameters})
        return f"{kind} {parameters}", model.fit(matrix(table), target), table, matrix, None

    yield fit("XGBClassifier", codes[0])
    yield fit("XGBClassifier", codes[1], number, missing=-999.0, base_score=0.3)
    yield fit("XGBClassifier", codes[1], booster="dart", rate_drop=0.5)
    yield fit("XGBClassifier", codes[0], booster="gblinear")
    yield fit("XGBRFClassifier", codes[0])
    yield fit("XGBRegressor", np.exp(_NUMBER), objective="count:poisson")
    yield fit("XGBRegressor", _NUMBER, objective="reg:pseudohubererror")
    model = xgboost.XGBRegressor(**{**small, "n_estimators": 12}, early_stopping_rounds=2)
    wrong = [(matrix(_MISSING)[:50], np.random.default_rng(1).permutation(_NUMBER)[:50])]
    yield "early stopping", model.fit(matrix(_MISSING), _NUMBER, eval_set=wrong, verbose=False), _MISSING, matrix, None
    types = ["q", "q", "c"]

    def codes_matrix(rows: Rows) -> Any:
        return xgboost.DMatrix(matrix(rows), feature_types=types, enable_categorical=True)

    set_ = xgboost.DMatrix(matrix(_NUMBERS), _NUMBER, feature_types=types, enable_categorical=True)
    for limit in (1, 100):
        parameters = {"max_depth": 3, "tree_method": "hist", "max_cat_to_onehot": limit}
        yield f"categories {limit}", xgboost.train(parameters, set_, 4), _NUMBERS, codes_matrix, None


def _catboost() -> Iterator[_Case]:
    catboost = importlib.import_module("catboost")
    pandas = importlib.import_module("pandas")
    small: dict[str, Any] = {"depth": 4, "verbose": False, "thread_count": 1, "allow_writing_files": False}

    def fit(kind: str, target: Any, table: Rows = _MISSING, has_names: bool = True, **parameters: Any) -> _Case:
        categories = [index for index, name in enumerate(table) if name in "ts"]

        def pool(rows: Rows, label: Any = None) -> Any:
            frame = pandas.DataFrame(rows)
            return catboost.Pool(frame if has_names else frame.values.tolist(), label, cat_features=categories)

        model = getattr(catboost, kind)(**{**small, "iterations": 3, **parameters}).fit(pool(table, target))
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "model.json"
            model.save_model(str(path), format="json", pool=pool(table, target))
            return f"{kind} {parameters}", model, table, pool, path.read_bytes()

    yield fit("CatBoostClassifier", _TWO, nan_mode="Max")
    yield fit("CatBoostClassifier", _THREE, grow_policy="Lossguide", max_leaves=6)
    yield fit("CatBoostClassifier", _THREE, loss_function="MultiClassOneVsAll")
    yield fit("CatBoostRegressor", np.exp(_NUMBER), loss_function="Poisson")
    yield fit("CatBoostRegressor", _NUMBER, grow_policy="Depthwise")
    yield fit("CatBoostClassifier", _TEXT_TWO, _TEXTS, iterations=15, one_hot_max_size=2)
    yield fit("CatBoostClassifier", _TEXT_TWO, _TEXTS, grow_policy="Depthwise", one_hot_max_size=10)
    yield fit("CatBoostRegressor", _TEXT_NUMBER, _TEXTS, iterations=15, one_hot_max_size=2)
    yield fit("CatBoostClassifier", _TEXT_TWO, _TEXTS, has_names=False, one_hot_max_size=3)


_CASES: dict[str, Callable[[], Iterator[_Case]]] = {
    "sklearn": _sklearn,
    "lightgbm": _lightgbm,
    "xgboost": _xgboost,
    "catboost": _catboost,
}

if __name__ == "__main__":
    warnings.simplefilter("ignore")
    for library_ in sys.argv[1:]:
        write_file(library_)

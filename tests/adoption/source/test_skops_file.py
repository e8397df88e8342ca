import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.compose import make_column_transformer
from sklearn.ensemble import GradientBoostingClassifier, HistGradientBoostingClassifier, RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, OneHotEncoder, StandardScaler

from model_deployer.adoption.source.detect import detect
from model_deployer.adoption.source.pickle_file import read_pickle
from model_deployer.adoption.source.skops_file import read_skops, skops_version
from model_deployer.adoption.source.unreadable_source import UnreadableSource
from model_deployer.adoption.stored_object import StoredObject

skops = pytest.importorskip("skops.io")

X = np.random.default_rng(0).normal(size=(80, 3))
Y = X[:, 0] > 0
TABLE = np.array([["a", 1.5], [None, 2.5], ["b", 0.5], ["a", 1.0]] * 5, dtype=object)
ENCODE = make_column_transformer((OneHotEncoder(), [0]), (StandardScaler(), slice(1, 2)))

MODELS = [
    make_pipeline(ENCODE, LogisticRegression()).fit(TABLE, [0, 1, 0, 1] * 5),
    make_pipeline(StandardScaler(), FunctionTransformer(np.exp), RandomForestClassifier(3)).fit(X, Y),
    GradientBoostingClassifier(n_estimators=3).fit(X, Y),
    HistGradientBoostingClassifier(max_iter=3).fit(X, Y),
]


def assert_same(one: Any, other: Any) -> None:
    if isinstance(one, StoredObject):
        assert (one.kind, one.is_class) == (other.kind, other.is_class)
        for name in (one.state.keys() & other.state.keys()) - {"random_state"}:  # skops stores generators otherwise
            assert_same(one[name], other[name])
    elif isinstance(one, np.ndarray) and one.dtype != object:
        np.testing.assert_array_equal(one, other)
        assert one.dtype == other.dtype
    elif isinstance(one, np.ndarray | list | tuple):
        assert len(one) == len(other)
        for item, counterpart in zip(one, other, strict=True):
            assert_same(item, counterpart)
    elif isinstance(one, dict):
        assert list(one) == list(other)
        assert_same(list(one.values()), list(other.values()))
    else:
        assert one == other or repr(one) == repr(other)


@pytest.mark.parametrize("model", MODELS, ids=["encoders", "forest", "boosting", "histograms"])
def test_it_holds_what_a_pickle_holds(model: Any, tmp_path: Path) -> None:
    content = skops.dumps(model)
    stored, pickled = read_skops(content), read_pickle(pickle.dumps(model))
    assert isinstance(stored, StoredObject)
    assert isinstance(pickled, StoredObject)
    names = pickled.state.keys() - {"_random_generator", "_feature_subsample_rng", "_preprocessor", "_rng"}
    assert names <= stored.state.keys()
    assert_same({name: stored[name] for name in names}, {name: pickled[name] for name in names})
    (tmp_path / "model.pkl").write_bytes(content)
    source = detect(tmp_path / "model.pkl")
    assert source.kind == "skops"
    assert source.versions["skops"] == skops_version(content)


def test_damaged() -> None:
    content = skops.dumps(MODELS[0])
    for damaged in (content[:-300], content.replace(b"schema", b"scheme")):
        with pytest.raises(UnreadableSource, match="damaged"):
            read_skops(damaged)

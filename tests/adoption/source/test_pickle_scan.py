import importlib.metadata
import json
import os
import pickle
from typing import Any

import joblib
import lightgbm
import numpy as np
import pytest
import sklearn
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler

from model_deployer.adoption.source.pickle_file import read_pickle
from model_deployer.adoption.source.pickle_scan import Import, scan_pickle
from model_deployer.adoption.source.versions import versions_of_booster, versions_of_object

X = np.random.default_rng(0).normal(size=(100, 2))
MODEL = make_pipeline(StandardScaler(), FunctionTransformer(np.log1p), HistGradientBoostingClassifier(max_iter=2))
MODEL.fit(np.abs(X), X[:, 0] > 0)


def double(values: Any) -> Any:
    """A function of a team."""
    return values * 2


class Command:
    """An object that runs a command when it is loaded."""

    def __reduce__(self) -> Any:
        return os.system, ("true",)


def test_a_model_has_only_classes_of_libraries() -> None:
    boosters = lightgbm.LGBMClassifier(n_estimators=2, verbose=-1).fit(X, X[:, 0] > 0)
    for model in (MODEL, boosters):
        scan = scan_pickle(pickle.dumps(model))
        assert scan.fault is None
        assert scan.protocol == pickle.DEFAULT_PROTOCOL
        assert {item.verdict for item in scan.imports} <= {"library", "standard"}


@pytest.mark.parametrize("protocol", range(6))
def test_dangerous(protocol: int) -> None:
    content = pickle.dumps([MODEL, Command()], protocol)
    assert scan_pickle(content).paths("dangerous") == [f"{os.system.__module__}.system"]


def test_what_is_before_a_fault_counts() -> None:
    """Python runs the operations before the place where it finds the damage."""
    scan = scan_pickle(pickle.dumps(Command())[:-1] + b"\xff")
    assert scan.paths("dangerous")
    assert scan.fault


def test_code_of_a_team() -> None:
    assert scan_pickle(pickle.dumps(FunctionTransformer(double))).paths("unknown") == [f"{__name__}.double"]
    assert scan_pickle(b"c__main__\nModel\n.").paths("unknown") == ["__main__.Model"]


@pytest.mark.parametrize(
    ("path", "verdict"),
    [
        ("builtins.eval", "dangerous"),
        ("builtins.getattr", "dangerous"),
        ("functools.partial", "dangerous"),
        ("operator.attrgetter", "dangerous"),
        ("numpy.testing._private.utils.runstring", "dangerous"),
        ("numpy.load", "dangerous"),
        ("torch.hub.load", "dangerous"),
        ("joblib.load", "dangerous"),
        ("numpy.log1p", "library"),
        ("sklearn.tree._tree.Tree", "library"),
        ("sklearn._loss._loss.__pyx_unpickle_CyHalfBinomialLoss", "library"),
        ("cloudpickle.cloudpickle._make_function", "code"),
        ("collections.OrderedDict", "standard"),
        ("team.models.Model", "unknown"),
    ],
)
def test_verdicts(path: str, verdict: str) -> None:
    assert Import(*path.rsplit(".", 1)).verdict == verdict


def test_versions(tmp_path: Any) -> None:
    joblib.dump(MODEL, tmp_path / "model", compress=3)
    content = (tmp_path / "model").read_bytes()
    versions = versions_of_object(read_pickle(content), scan_pickle(content).imports)
    assert versions == {"scikit-learn": sklearn.__version__, "numpy": ">=2"}


def test_versions_of_boosters() -> None:
    assert versions_of_booster(json.dumps({"learner": {}, "version": [1, 7, 6]}).encode()) == {"xgboost": "1.7.6"}
    numbers = b"".join(b"i" + bytes([number]) for number in (3, 2, 0))
    assert versions_of_booster(b"L\0\0\0\0\0\0\0\7version[#L\0\0\0\0\0\0\0\3" + numbers) == {"xgboost": "3.2.0"}
    assert versions_of_booster(b"Summary: CatBoost release 1.2.10. commit") == {"catboost": "1.2.10"}
    assert versions_of_booster(b"tree\nversion=v4\n") == {}


def test_versions_of_real_boosters() -> None:
    xgboost = pytest.importorskip("xgboost")
    booster = xgboost.train({}, xgboost.DMatrix(X, X[:, 0]), 2)
    version = importlib.metadata.version("xgboost-cpu")
    for form in ("json", "ubj"):
        assert versions_of_booster(bytes(booster.save_raw(form))) == {"xgboost": version}
    assert versions_of_object(read_pickle(pickle.dumps(booster))) == {"xgboost": version}


@pytest.mark.parametrize(
    "path", ["pip.main", "requests.api.get", "httplib.HTTPSConnection", "_pyrepl.pager.pipe_pager"]
)
def test_what_reaches_outside_is_dangerous(path: str) -> None:
    """Calls that other scanners flag: the network, installers, and modules of other versions of Python."""
    module, _, name = path.rpartition(".")
    imported = Import(module, name)
    assert imported.verdict == "dangerous"
    assert imported.may_run_commands


def test_a_bound_method_is_no_attack() -> None:
    """Pickles of old protocols have ``getattr`` for each bound method."""
    assert not Import("builtins", "getattr").may_run_commands
    assert not Import("functools", "partial").may_run_commands

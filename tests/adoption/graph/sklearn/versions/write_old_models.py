"""Write fitted models of scikit-learn 0.18 to 0.24, with their answers, to a file of this folder.

Run it with the Python of an environment that has that version, also with Python 2.7: ``python write_old_models.py``.
The file is a pickle that is compressed with bz2: for each model its own pickle, the rows, and the answers.
"""

import bz2
import pickle
import sys
import warnings
from collections import OrderedDict
from os import path

import numpy as np
import pandas as pd
import sklearn
from sklearn.ensemble import GradientBoostingClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler
from sklearn.svm import SVC
from sklearn.tree import DecisionTreeRegressor

TYPE_CHECKING = False  # Python 2.7 has no module typing
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

warnings.filterwarnings("ignore")

ROWS = 60
NUMBERS, CODES, TEXTS = ["income", "age"], ["code", "age"], ["age", "city"]
VERSION = tuple(int(part) for part in sklearn.__version__.split(".")[:2])


def table():  # type: () -> pd.DataFrame
    """Return numbers, whole numbers and texts without missing values."""
    rng = np.random.RandomState(0)
    return pd.DataFrame(
        {
            "income": np.round(rng.exponential(size=ROWS) * 3e4, 2),
            "age": np.round(rng.normal(size=ROWS) * 12 + 40, 1),
            "code": rng.choice([0, 1, 2, 5], ROWS).astype(float),
            "city": np.array(["Bern", "Rome", "Oslo"], object)[rng.randint(0, 3, ROWS)],
        }
    )


def models():  # type: () -> Iterator[tuple[str, Any, list[str], int]]
    """Yield the name of a model, the model, its columns, and the number of its classes; 0 for a value."""
    logistic = LogisticRegression(solver="liblinear")
    yield "labels", make_pipeline(StandardScaler(), logistic), NUMBERS, 2
    yield "boosting", GradientBoostingClassifier(n_estimators=5, max_depth=2, random_state=0), NUMBERS, 3
    yield "vectors", make_pipeline(StandardScaler(), SVC(decision_function_shape="ovr")), NUMBERS, 3
    if VERSION < (0, 22):
        some = OneHotEncoder(categorical_features=[0], handle_unknown="ignore")
        yield "some-columns", make_pipeline(some, logistic), CODES, 2
    if VERSION >= (0, 20):
        yield "names", make_pipeline(_by_name(), DecisionTreeRegressor(max_depth=3)), TEXTS, 0
    if VERSION >= (0, 21):
        yield "histograms", _histograms(), NUMBERS, 3


def _by_name():  # type: () -> Any
    from sklearn.compose import ColumnTransformer

    return ColumnTransformer([("city", OneHotEncoder(handle_unknown="ignore"), ["city"])], remainder="passthrough")


def _histograms():  # type: () -> Any
    import sklearn.experimental.enable_hist_gradient_boosting  # (it allows the next import)
    from sklearn.ensemble import HistGradientBoostingClassifier

    return HistGradientBoostingClassifier(max_iter=4, max_leaf_nodes=5)


def probe(rows):  # type: (pd.DataFrame) -> pd.DataFrame
    """Return rows with values that the model does not know."""
    changed = rows.iloc[:8].copy()
    changed.loc[0:3, "code"] = [3.0, 2.7, 9.0, -0.5]
    changed.loc[0:5, "income"] = [0.0, 1e-12, 2.0**24 + 1, 1e7, -5.0, 3.0]
    changed.loc[7, "city"] = "unseen"
    return pd.concat([rows, changed], ignore_index=True)


def main():  # type: () -> None
    """Fit the models, and write them with their answers."""
    rows = table()
    score = (rows["age"] / 10 + (rows["code"] == 2) * 2 + np.random.RandomState(1).normal(size=ROWS)).values
    targets = {0: score, 2: np.where(score > 4.5, "yes", "no"), 3: np.digitize(score, [4, 5]) * 10}
    probes, entries = probe(rows), {}
    for name, model, columns, classes in models():
        fitted = rows[columns] if "city" in columns else rows[columns].values
        probed = probes[columns] if "city" in columns else probes[columns].values
        model.fit(fitted, targets[classes])
        entries[name] = {
            "model": bytearray(pickle.dumps(model, protocol=2)),
            "rows": OrderedDict((column, probes[column].tolist()) for column in columns),
            "predicted": model.predict(probed),
            "probabilities": model.predict_proba(probed) if hasattr(model, "predict_proba") else None,
        }
    name = "scikit-learn-{}-python{}.pickle.bz2".format(sklearn.__version__, sys.version_info[0])
    with open(path.join(path.dirname(path.abspath(__file__)), name), "wb") as file:
        file.write(bz2.compress(pickle.dumps(entries, protocol=2)))


if __name__ == "__main__":
    main()

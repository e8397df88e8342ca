"""Write fitted models of one version of scikit-learn, with their answers, to a file of this folder.

Run it with the Python of an environment that has that version: ``python write_models.py``. The file is a pickle that is
compressed with xz: for each model its own pickle, the rows, and the answers.
"""

import lzma
import pickle
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import sklearn
from sklearn.calibration import CalibratedClassifierCV
from sklearn.compose import ColumnTransformer, TransformedTargetRegressor, make_column_selector
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.ensemble import StackingClassifier, VotingClassifier
from sklearn.feature_selection import SelectFromModel, SelectKBest
from sklearn.impute import SimpleImputer
from sklearn.isotonic import IsotonicRegression
from sklearn.linear_model import LogisticRegression, PoissonRegressor, Ridge, SGDClassifier
from sklearn.multiclass import OneVsRestClassifier
from sklearn.naive_bayes import CategoricalNB, GaussianNB
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import FeatureUnion, Pipeline, make_pipeline
from sklearn.preprocessing import (
    FunctionTransformer,
    KBinsDiscretizer,
    OneHotEncoder,
    OrdinalEncoder,
    PolynomialFeatures,
    PowerTransformer,
    QuantileTransformer,
    SplineTransformer,
    StandardScaler,
)
from sklearn.svm import SVC, LinearSVC

warnings.filterwarnings("ignore")

ROWS = 40
NUMBERS, TEXTS = ["income", "age"], ["city", "size"]


def table() -> pd.DataFrame:
    """Return numbers and texts with missing values."""
    rng = np.random.RandomState(0)
    city = np.array(["Bern", "Rome", "Oslo", "Basel", np.nan], object)[rng.choice(5, ROWS, p=[0.4, 0.3, 0.1, 0.1, 0.1])]
    income = rng.exponential(size=ROWS) * 3e4
    income[::6] = np.nan
    return pd.DataFrame(
        {
            "income": income,
            "age": np.round(rng.normal(size=ROWS) * 12 + 40, 1),
            "city": pd.Series(city, dtype=object),
            "size": pd.Series(np.array(["S", "M", "L"], object)[rng.randint(0, 3, ROWS)], dtype=object),
        }
    )


def recipe(encoder: Any, rest: Any = "drop") -> ColumnTransformer:
    """Return the preprocessing of scikit-learn's user guide, with one encoder or another."""
    number = Pipeline([("imputer", SimpleImputer(strategy="median", add_indicator=True)), ("scaler", StandardScaler())])
    text = Pipeline([("imputer", SimpleImputer(strategy="most_frequent")), ("encoder", encoder)])
    return ColumnTransformer([("number", number, NUMBERS), ("text", text, ["city"])], remainder=rest)


def models() -> Iterator[tuple[str, Any, bool, int]]:
    """Yield the name of a model, the model, whether it reads texts, and the number of its classes; 0 for a value."""
    logistic = LogisticRegression(max_iter=300)
    yield "one-hot", make_pipeline(recipe(OneHotEncoder(handle_unknown="ignore")), logistic), True, 2
    infrequent = OneHotEncoder(handle_unknown="infrequent_if_exist", min_frequency=6, drop="first")
    yield "infrequent", make_pipeline(recipe(infrequent), logistic), True, 2
    yield "if-binary", make_pipeline(recipe(OneHotEncoder(drop="if_binary")), logistic), True, 3
    ordinal = OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=-1)
    selector = ColumnTransformer(
        [("text", ordinal, make_column_selector(dtype_include=object))], remainder=SimpleImputer()
    )
    yield "ordinal", make_pipeline(selector, SimpleImputer(), logistic), True, 2
    yield "remainder", make_pipeline(recipe(OneHotEncoder(handle_unknown="ignore"), ordinal), Ridge()), True, 0
    constant = make_pipeline(SimpleImputer(strategy="constant", fill_value=-1), KBinsDiscretizer(4))
    spline = make_pipeline(SimpleImputer(), SplineTransformer(3))
    union = FeatureUnion(
        [("bins", constant), ("spline", spline), ("polynomial", make_pipeline(SimpleImputer(), PolynomialFeatures(2)))]
    )
    yield "numeric", make_pipeline(ColumnTransformer([("all", union, NUMBERS)]), StandardScaler(), Ridge()), True, 0
    power = make_pipeline(PowerTransformer(), QuantileTransformer(n_quantiles=20, output_distribution="normal"))
    yield "distribution", make_pipeline(SimpleImputer(), power, SelectKBest(k=1), logistic), False, 2
    logarithm = make_pipeline(SimpleImputer(), FunctionTransformer(np.log1p), SelectFromModel(logistic), logistic)
    yield "function", logarithm, False, 2
    yield "multinomial", make_pipeline(SimpleImputer(), StandardScaler(), logistic), False, 3
    yield (
        "liblinear",
        make_pipeline(SimpleImputer(), StandardScaler(), LogisticRegression(solver="liblinear")),
        False,
        2,
    )
    for name, model in (
        ("bayes", GaussianNB()),
        ("sgd", SGDClassifier(loss="modified_huber", random_state=0)),
        ("discriminant", LinearDiscriminantAnalysis()),
        ("network", MLPClassifier((4,), max_iter=50, random_state=0)),
        ("vectors", SVC(probability=True, random_state=0)),
        ("sigmoid", CalibratedClassifierCV(LinearSVC(random_state=0), cv=2)),
        ("isotonic", CalibratedClassifierCV(GaussianNB(), method="isotonic", cv=2)),
        ("prefit", CalibratedClassifierCV(SVC(), ensemble=False, cv=2)),
        ("vote", VotingClassifier([("a", logistic), ("b", GaussianNB())], voting="soft", weights=[1, 2])),
        ("hard-vote", VotingClassifier([("a", logistic), ("b", GaussianNB()), ("c", LinearSVC(random_state=0))])),
        ("stack", StackingClassifier([("a", logistic), ("b", LinearSVC(random_state=0))], cv=2, passthrough=True)),
        ("one-vs-rest", OneVsRestClassifier(logistic)),
    ):
        for classes in (2, 3):
            yield f"{name}-{classes}", make_pipeline(SimpleImputer(), StandardScaler(), model), False, classes
    yield "poisson", make_pipeline(SimpleImputer(), StandardScaler(), PoissonRegressor()), False, 0
    ridge = make_pipeline(SimpleImputer(), StandardScaler(), Ridge())
    yield "logarithm", TransformedTargetRegressor(ridge, func=np.log1p, inverse_func=np.expm1), False, 0
    yield "quantile", TransformedTargetRegressor(ridge, transformer=QuantileTransformer(n_quantiles=20)), False, 0
    yield "power", TransformedTargetRegressor(ridge, transformer=PowerTransformer()), False, 0
    categories = make_pipeline(SimpleImputer(), KBinsDiscretizer(3, encode="ordinal"), CategoricalNB())
    yield "categories", categories, False, 3


def probe(rows: pd.DataFrame) -> pd.DataFrame:
    """Return rows with values that the model does not know."""
    changed = rows.iloc[:12].copy()
    changed.loc[0:3, "city"] = ["Paris", "", "Bern", np.nan]
    changed.loc[4:9, "income"] = [0.0, 1e-12, 2.0**24 + 1, 1e7, np.nan, 3.0]
    changed.loc[8:11, "age"] = [0.0, 99.0, 40.0, 12.5]
    changed.loc[1, "city"] = "unseen"
    return pd.concat([rows, changed], ignore_index=True)


def main() -> None:
    """Fit the models, and write them with their answers."""
    rows = table()
    rng = np.random.RandomState(1)
    score = rows["age"] / 10 + (rows["city"] == "Rome") * 2 + rng.normal(size=ROWS)
    targets = {0: score.to_numpy() + 5, 2: (score > 4.5).to_numpy(), 3: np.digitize(score, [4, 5]) * 10}
    probes = probe(rows)
    entries = {}
    for name, model, has_texts, classes in models():
        columns = NUMBERS + TEXTS if has_texts else NUMBERS
        model.fit(rows[columns], targets[classes])
        accepted = probes if name != "if-binary" else probes[probes["city"].isin(rows["city"].unique())]
        entries[name] = {
            "model": pickle.dumps(model, protocol=4),
            "rows": {column: accepted[column].tolist() for column in columns},
            "predicted": np.asarray(model.predict(accepted[columns])),
            "probabilities": model.predict_proba(accepted[columns]) if hasattr(model, "predict_proba") else None,
        }
    isotonic = IsotonicRegression(out_of_bounds="clip").fit(rows["age"], targets[0])
    entries["isotonic-regression"] = {
        "model": pickle.dumps(isotonic, protocol=4),
        "rows": {"age": probes["age"].tolist()},
        "predicted": isotonic.predict(probes["age"]),
        "probabilities": None,
    }
    content = lzma.compress(pickle.dumps(entries, protocol=4), preset=9)
    path = Path(__file__).parent / f"scikit-learn-{sklearn.__version__}.pickle.xz"
    path.write_bytes(content)
    print(path.name, len(entries), "models", len(content), "bytes")


if __name__ == "__main__":
    main()

"""Sources and tables that cannot be adopted: each ends with one sentence, and nothing is stored."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from sklearn.cluster import KMeans
from sklearn.ensemble import IsolationForest, RandomForestClassifier
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.multioutput import MultiOutputClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler

from model_deployer.adoption.cell.cell_error import CellError
from model_deployer.adoption.cell.trust import digest_of
from model_deployer.adoption.source.unreadable_source import UnreadableSource
from model_deployer.contract import store
from model_deployer.contract.errors import CheckFailed, DataError, SpecError
from model_deployer.contract.features import Numeric
from model_deployer.serving.engines.offline import predict
from model_deployer.training.fit import fit
from tests.support.adoptions import buyers, write_adoption, write_spec
from tests.support.in_process import model_store

TABLE = buyers().select("age", pl.col("income").fill_null(1.0), "bought", "spend")
ROWS = TABLE.select("age", "income").to_numpy()
TWO_NUMBERS = np.column_stack([TABLE["spend"].to_numpy(), ROWS[:, 0]])
TWO_LABELS = np.column_stack([TABLE["bought"].to_numpy(), TABLE["bought"].to_numpy()])

FUNCTION = """
def predict(table):
    return table.to_numpy()
"""


@pytest.fixture(autouse=True)
def _store(tmp_path: Path) -> Iterator[None]:
    with model_store(tmp_path / "home"):
        yield


def check_refused(path: Path, error: type[Exception], sentence: str) -> None:
    """Check that a model.yaml ends with a sentence, and that the store stays empty."""
    with pytest.raises(error, match=sentence):
        fit(path)
    assert not any((path.parent / "home" / "models").iterdir())


@pytest.mark.parametrize(
    ("model", "target"),
    [
        (MultiOutputClassifier(LogisticRegression()), TWO_LABELS),
        (RandomForestClassifier(3), TWO_LABELS),
    ],
    ids=lambda value: type(value).__name__,
)
def test_several_decisions(model: Any, target: Any, tmp_path: Path) -> None:
    path = write_adoption(tmp_path, model.fit(ROWS, target), "spend", TABLE, columns="[age, income]")
    check_refused(path, UnreadableSource, r"several decisions for a row.*adopt one model for each")


def test_several_numbers_without_names(tmp_path: Path) -> None:
    path = write_adoption(tmp_path, LinearRegression().fit(ROWS, TWO_NUMBERS), "spend", TABLE, columns="[age, income]")
    check_refused(path, CheckFailed, r"gives 2 numbers for each row: list their names .* under `data.targets`")


def test_another_number_of_names(tmp_path: Path) -> None:
    path = write_adoption(
        tmp_path, LinearRegression().fit(ROWS, TABLE["spend"]), "spend", TABLE, columns="[age, income]"
    )
    path.write_text(path.read_text().replace("target: spend", "targets: [spend, age]"))
    check_refused(path, SpecError, "data.targets: 2 names, but the model gives 1 number for each row")


def test_names_for_a_classification(tmp_path: Path) -> None:
    model = LogisticRegression().fit(ROWS, TABLE["bought"])
    path = write_adoption(tmp_path, model, "spend", TABLE, columns="[age, income]", outputs="embedding")
    check_refused(path, SpecError, "the model decides between classes, so that `outputs: embedding` has no meaning")


def test_a_function_that_answers_several_values(tmp_path: Path) -> None:
    (tmp_path / "model.py").write_text(FUNCTION)
    TABLE.write_csv(tmp_path / "table.csv")
    path = write_spec(tmp_path, "spend", source="model.py", columns="[age, income]", serve="runner")
    check_refused(path, CellError, "expected one number for each row, but the source gives 2")


@pytest.mark.parametrize("step", [StandardScaler(), make_pipeline(StandardScaler())], ids=["scaler", "pipeline"])
def test_a_step_without_a_model(step: Any, tmp_path: Path) -> None:
    path = write_adoption(tmp_path, step.fit(ROWS), "spend", TABLE, columns="[age, income]", serve="runner")
    check_refused(path, UnreadableSource, "'StandardScaler', which prepares columns and predicts nothing")


@pytest.mark.parametrize("model", [KMeans(2, n_init=1), IsolationForest(n_estimators=3)], ids=["clusters", "outliers"])
def test_a_model_without_a_truth(model: Any, tmp_path: Path) -> None:
    path = write_adoption(tmp_path, make_pipeline(StandardScaler(), model).fit(ROWS), "bought", TABLE)
    check_refused(path, UnreadableSource, f"'{type(model).__name__}'.*no truth.*Fit a classifier")


def test_texts_as_the_truth_of_a_quantity(tmp_path: Path) -> None:
    model = LinearRegression().fit(ROWS, TABLE["spend"])
    check_refused(
        write_adoption(tmp_path, model, "bought", TABLE, columns="[age, income]"),
        DataError,
        "'bought' holds texts, but the model predicts a number",
    )


def test_a_number_out_of_the_domain_of_a_function(tmp_path: Path) -> None:
    """The logarithm of 0 is infinite, and scikit-learn raises an error for it; so the contract refuses -1 and less."""
    model = make_pipeline(FunctionTransformer(np.log1p), LogisticRegression()).fit(ROWS, TABLE["bought"])
    artifact = store.load(fit(write_adoption(tmp_path, model, "bought", TABLE, columns="[age, income]")).tag)
    income = artifact.contract.features[1]
    assert isinstance(income, Numeric)
    assert (income.minimum, income.out_of_range) == (np.nextafter(-1.0, 0.0), "reject")
    answers = predict(artifact, [{"age": 40, "income": -1}, {"age": 40, "income": -0.5}])
    assert [answer is None for answer in answers] == [True, False]


def test_boolean_classes(tmp_path: Path) -> None:
    """Also next to a probe row that the source refuses, its decisions are compared as booleans."""
    table = TABLE.with_columns(pl.col("bought") == "yes")
    model = make_pipeline(StandardScaler(), LogisticRegression()).fit(ROWS, table["bought"])
    artifact = store.load(fit(write_adoption(tmp_path, model, "bought", table, columns="[age, income]")).tag)
    answers = predict(artifact, table.select("age", "income").head(50).to_dicts())
    assert [answer["decision"] for answer in answers if answer] == [
        str(value).lower() for value in model.predict(ROWS[:50]).tolist()
    ]


def test_an_order_of_columns_that_is_not_clear(tmp_path: Path) -> None:
    """A model without names, a table, and a program that has the columns in another order."""
    folder = tmp_path / "handed"
    folder.mkdir()
    path = write_adoption(folder, LogisticRegression().fit(ROWS, TABLE["bought"].to_numpy()), "bought", TABLE)
    (folder / "app.py").write_text('COLUMNS = ["income", "age"]\n')
    path.unlink()
    text = f"adopt: {{source: handed, trust: '{digest_of(folder)}', environment: current}}"
    spec = tmp_path / "model.yaml"
    spec.write_text(f"name: orders\n{text}\ndata: {{path: handed/table.csv, target: bought, ignore: [spend]}}\n")
    check_refused(spec, DataError, "age, income, and app.py line 1 has income, age")

"""A pickle becomes a model in the store: equal, evaluated and served, or refused by a clear sentence."""

import pickle
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from lightgbm import LGBMClassifier
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import RandomForestClassifier
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LinearRegression, LogisticRegression, RidgeClassifier
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler
from sklearn.svm import LinearSVC

import model_deployer as md
from model_deployer.adoption.cell.cell_error import CellError
from model_deployer.contract import store
from model_deployer.contract.artifact import MODEL, Artifact
from model_deployer.contract.errors import CheckFailed, DataError, UsageError
from model_deployer.serving.engines.offline import predict
from model_deployer.training.fit import fit
from tests.support.adoptions import SCRIPT, buyers, write_adoption, write_spec
from tests.support.in_process import model_store


@pytest.fixture(autouse=True)
def _store(tmp_path: Path) -> Any:
    with model_store(tmp_path / "home"):
        yield


def recipe(model: Any) -> Pipeline:
    """Return scikit-learn's own recipe for tables with numbers and categories."""
    numbers = Pipeline([("fill", SimpleImputer(strategy="median")), ("scale", StandardScaler())])
    texts = Pipeline([("fill", SimpleImputer(strategy="most_frequent")), ("encode", OneHotEncoder())])
    columns = ColumnTransformer([("numbers", numbers, ["age", "income"]), ("texts", texts, ["city"])])
    return Pipeline([("columns", columns), ("model", model)])


def fitted(model: Any, target: str = "bought") -> Pipeline:
    table = _pandas(buyers())
    return recipe(model).fit(table[["age", "income", "city"]], table[target])


def _pandas(frame: pl.DataFrame) -> Any:
    import pandas as pd  # noqa: PLC0415

    return pd.DataFrame({name: frame[name].to_list() for name in frame.columns})


def adopted(path: Path) -> Artifact:
    return store.load(fit(path).tag)


@pytest.mark.parametrize("model", [LogisticRegression(), RandomForestClassifier(n_estimators=10, random_state=0)])
def test_a_pipeline_answers_as_scikit_learn_does(model: Any, tmp_path: Path) -> None:
    source, table = fitted(model), buyers()
    artifact = adopted(write_adoption(tmp_path, source, "bought", table))
    rows = table.select("age", "income", "city").to_dicts()
    answers = [answer for answer in predict(artifact, rows) if answer]
    expected = source.predict_proba(_pandas(table))
    assert len(answers) == table.height
    assert np.allclose([answer["probabilities"]["yes"] for answer in answers], expected[:, 1], atol=1e-6)
    assert [answer["decision"] for answer in answers] == source.predict(_pandas(table)).tolist()


def test_a_vectorizer_gets_a_list_of_texts(tmp_path: Path) -> None:
    """A data frame of one row would be taken for one text, the name of its column."""
    table = buyers().drop_nulls("city").select(pl.format("{} {}", "city", "age").alias("note"), "bought")
    model = make_pipeline(TfidfVectorizer(), LogisticRegression()).fit(table["note"].to_list(), table["bought"])
    artifact = adopted(write_adoption(tmp_path, model, "bought", table))
    answers = predict(artifact, table.select("note").to_dicts())
    expected = model.predict_proba(table["note"].to_list())
    assert np.allclose([answer["probabilities"]["yes"] for answer in answers if answer], expected[:, 1], atol=1e-6)


def test_the_evidence_is_in_the_evaluation(tmp_path: Path) -> None:
    adoption = adopted(write_adoption(tmp_path, fitted(LogisticRegression()), "bought", buyers())).evaluation.adoption
    assert adoption and adoption.equality
    assert adoption.equality.is_proved
    assert adoption.equality.table_rows == 400
    assert adoption.equality.probe_rows > 400
    assert adoption.answered_with["scikit-learn"]
    assert adoption.served_by == "graph"


def test_what_the_source_refuses_the_contract_refuses(tmp_path: Path) -> None:
    """OneHotEncoder raises an error for an unknown category unless `handle_unknown` says something else."""
    features = adopted(write_adoption(tmp_path, fitted(LogisticRegression()), "bought", buyers())).contract.features
    city = next(feature for feature in features if feature.name == "city")
    assert city.kind == "categorical"
    assert (city.unknown, city.categories) == ("reject", ("Bern", "Graz", "Ulm"))
    assert city.nullable


def test_a_quantity_gets_an_interval_from_the_table(tmp_path: Path) -> None:
    artifact = adopted(write_adoption(tmp_path, fitted(LinearRegression(), "spend"), "spend", buyers()))
    (answer,) = predict(artifact, [{"age": 30, "income": 20_000, "city": "Ulm"}])
    assert answer and answer["lower"] < answer["value"] < answer["upper"]
    assert 0.8 < artifact.evaluation.metrics["model"]["coverage"].value < 1


def test_an_object_of_a_program_is_adopted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    source, table = fitted(LogisticRegression()), buyers()
    model = md.adopt(source, data=table, target="bought", name="buyers")
    assert model.tag == "buyers:1.0.0"
    assert (tmp_path / "buyers" / "model.pkl").exists()


@pytest.mark.parametrize(("model", "target"), [(LogisticRegression(), "bought"), (LinearRegression(), "spend")])
def test_without_a_table_nothing_is_invented(model: Any, target: str, tmp_path: Path) -> None:
    path = write_adoption(tmp_path, fitted(model, target), target, buyers())
    path.write_text(path.read_text().replace("path: table.csv, ", ""))
    artifact = adopted(path)
    evaluation = artifact.evaluation
    assert (evaluation.rows, evaluation.metrics, artifact.reference) == (None, {}, None)
    assert evaluation.adoption and evaluation.adoption.equality and evaluation.adoption.equality.is_proved
    (answer,) = predict(artifact, [{"age": 40, "income": 20_000, "city": "Ulm"}])
    assert answer and set(answer) == ({"decision", "probabilities"} if target == "bought" else {"value"})


def test_classes_that_are_codes_get_the_names_of_the_table(tmp_path: Path) -> None:
    table = buyers()
    codes = table.with_columns(bought=(pl.col("bought") == "yes").cast(pl.Int64))
    rows = _pandas(codes)
    source = recipe(LogisticRegression()).fit(rows[["age", "income", "city"]], rows["bought"])
    artifact = adopted(write_adoption(tmp_path, source, "bought", table, labels="['no', 'yes']"))
    assert artifact.contract.output.kind == "classification"
    assert artifact.contract.output.labels == ("no", "yes")
    adoption = artifact.evaluation.adoption
    assert adoption and adoption.equality and adoption.equality.flips == 0


def test_columns_that_the_model_leaves_out_are_sent_and_ignored(tmp_path: Path) -> None:
    """The graph has an input for each field of the contract, also for those that no part of the model reads."""
    columns = ColumnTransformer([("numbers", StandardScaler(), ["age"])])
    rows = _pandas(buyers())
    source = Pipeline([("columns", columns), ("model", LogisticRegression())]).fit(
        rows[["age", "income", "city"]], rows["bought"]
    )
    artifact = adopted(write_adoption(tmp_path, source, "bought", buyers()))
    assert [feature.name for feature in artifact.contract.features] == ["age", "income", "city"]
    (answer,) = predict(artifact, [{"age": 40, "income": 20_000, "city": "Ulm"}])
    assert answer is not None


def test_a_code_that_the_encoder_refuses_is_refused(tmp_path: Path) -> None:
    """An encoder of numbers raises an error for a number beyond its categories, and so does the contract."""
    table = buyers().with_columns(area=pl.Series(np.arange(buyers().height) % 3 + 1))
    columns = ColumnTransformer([("codes", OneHotEncoder(), ["area"]), ("numbers", StandardScaler(), ["age"])])
    rows = _pandas(table)[["area", "age"]]
    source = Pipeline([("columns", columns), ("model", LogisticRegression())]).fit(rows, table["bought"].to_list())
    artifact = adopted(write_adoption(tmp_path, source, "bought", table))
    answers = predict(artifact, [{"area": area, "age": 40} for area in (0, 1, 3, 4)])
    assert [answer is not None for answer in answers] == [False, True, True, False]


def test_numbers_that_were_categories_of_pandas(tmp_path: Path) -> None:
    """LightGBM refuses them as plain numbers: the source gets them as categories again."""
    table = buyers().with_columns(area=pl.Series(np.arange(buyers().height) % 3 + 1))
    rows = _pandas(table)[["age", "area"]].astype({"area": "category"})
    model = LGBMClassifier(n_estimators=5, verbose=-1, min_child_samples=5).fit(rows, table["bought"].to_list())
    adoption = adopted(write_adoption(tmp_path, model, "bought", table)).evaluation.adoption
    assert adoption and adoption.equality and adoption.equality.is_proved


def test_nothing_is_loaded_without_consent(tmp_path: Path) -> None:
    marker = tmp_path / "ran"
    path = write_adoption(tmp_path, _hostile(f"open({str(marker)!r}, 'w')"), "bought", buyers(), trust="")
    with pytest.raises(UsageError):
        fit(path)
    assert not marker.exists()


def test_another_file_under_the_same_name_is_not_loaded(tmp_path: Path) -> None:
    path = write_adoption(tmp_path, fitted(LogisticRegression()), "bought", buyers())
    (tmp_path / "model.pkl").write_bytes(pickle.dumps(fitted(LogisticRegression(C=0.1))))
    with pytest.raises(CellError, match="needs your consent"):
        fit(path)


def test_a_table_with_other_columns_is_shown_with_both_sides(tmp_path: Path) -> None:
    table = buyers().rename({"income": "salary"})
    with pytest.raises(DataError, match=r"lacks 'income' of the 3 columns.*'salary'"):
        fit(write_adoption(tmp_path, fitted(LogisticRegression()), "bought", table))


def test_classes_that_the_model_does_not_have_are_named(tmp_path: Path) -> None:
    table = buyers().with_columns(pl.col("bought").replace({"yes": "maybe"}))
    with pytest.raises(DataError, match=r"'maybe'.*'no', 'yes'"):
        fit(write_adoption(tmp_path, fitted(LogisticRegression()), "bought", table))


@pytest.mark.parametrize("model", [LinearSVC(), RidgeClassifier()])
def test_a_model_with_scores_only_gets_probabilities_and_keeps_its_decisions(model: Any, tmp_path: Path) -> None:
    source, table = fitted(model), buyers()
    artifact = adopted(write_adoption(tmp_path, source, "bought", table))
    answers = predict(artifact, table.select("age", "income", "city").to_dicts())
    assert [answer["decision"] for answer in answers if answer] == source.predict(_pandas(table)).tolist()
    adoption = artifact.evaluation.adoption
    assert adoption
    assert "without probabilities" in adoption.notes[-1]


@pytest.fixture
def script(tmp_path: Path) -> Path:
    """Return the model.yaml of a pickle with a class of ``__main__``, next to the script that defines it."""
    source = tmp_path / "source"
    source.mkdir()
    buyers().write_csv(tmp_path / "table.csv")
    (source / "train.py").write_text(SCRIPT)
    command = [sys.executable, "train.py", "../table.csv", "model.pkl"]
    subprocess.run(command, cwd=source, check=True, capture_output=True)
    return write_spec(tmp_path, "spend", source="source", columns="[age, income]")


def test_a_class_of_a_script_cannot_become_a_graph(script: Path) -> None:
    with pytest.raises(CheckFailed, match=r"__main__\.Ratio has no graph writer.*serve: runner"):
        fit(script)


def test_a_class_that_is_in_no_file_is_named(script: Path) -> None:
    path = write_spec(script.parent, "spend", source="source/model.pkl", columns="[age, income]", serve="runner")
    with pytest.raises(CellError, match=r"'Ratio' of the module '__main__'.*hand over the folder"):
        fit(path)


def test_a_class_of_a_script_is_served_by_its_own_process(script: Path) -> None:
    artifact = adopted(write_spec(script.parent, "spend", source="source", columns="[age, income]", serve="runner"))
    assert not (artifact.path / MODEL).exists()
    assert (artifact.path / "source" / "model.pkl").exists()
    (answer,) = predict(artifact, [{"age": 40, "income": 20_000}])
    assert answer and 400 < answer["value"] < 600


def _hostile(code: str) -> bytes:
    return b"cbuiltins\nexec\n(V" + code.encode() + b"\ntR."

"""Models that answer several numbers: an embedding of texts without a table, and several targets with one."""

from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from sklearn.ensemble import RandomForestRegressor

from model_deployer.contract import store
from model_deployer.contract.artifact import Artifact
from model_deployer.contract.evaluation import MODEL, TRIVIAL
from model_deployer.contract.features import NumberSequence
from model_deployer.contract.outputs import VectorOutput
from model_deployer.serving.engines.offline import predict
from model_deployer.training.fit import fit
from tests.support.adoptions import write_adoption
from tests.support.in_process import model_store
from tests.support.text_embeddings import TEXTS, TOKENS, WIDTH, own_embeddings, write_embedding


@pytest.fixture(autouse=True)
def _store(tmp_path: Path) -> Any:
    with model_store(tmp_path / "home"):
        yield


def adopted(path: Path) -> Artifact:
    return store.load(fit(path).tag)


@pytest.mark.parametrize("kind", ["exported", "torchscript", "onnx", "masked"])
def test_an_embedding_of_texts(kind: str, tmp_path: Path) -> None:
    """Rows of different lengths in one batch are answered as the network answers each text alone."""
    artifact = adopted(write_embedding(tmp_path, kind))
    (field,) = artifact.contract.features
    assert isinstance(field, NumberSequence)
    assert (field.integers, field.minimum, field.maximum, field.lengths) == (True, 0, TOKENS - 1, (1, 64))
    assert artifact.contract.output == VectorOutput(target="embedding", length=WIDTH)
    answers = predict(artifact, [{field.name: text} for text in TEXTS])
    assert np.allclose([answer["values"] for answer in answers if answer], own_embeddings(TEXTS), atol=1e-6)
    assert predict(artifact, [{field.name: [TOKENS]}]) == [None]
    evaluation = artifact.evaluation
    assert evaluation.adoption and evaluation.adoption.equality
    assert evaluation.adoption.served_by == "graph"
    assert evaluation.adoption.equality.probe_rows > 200
    assert evaluation.adoption.equality.largest_absolute is not None
    assert (evaluation.task, evaluation.metrics) == ("embedding", {})


def test_the_runner_serves_an_embedding(tmp_path: Path) -> None:
    path = write_embedding(tmp_path, "exported")
    path.write_text(path.read_text().replace("adopt:\n", "adopt:\n  serve: runner\n"))
    answers = predict(adopted(path), [{"tokens": text} for text in TEXTS])
    assert np.allclose([answer["values"] for answer in answers if answer], own_embeddings(TEXTS), atol=1e-6)


def test_an_embedding_with_a_table_is_watched_by_its_norm(tmp_path: Path) -> None:
    """A table of texts has no truth: nothing is measured, and the norm is the reference for drift."""
    random = np.random.default_rng(0)
    texts = [random.integers(1, TOKENS, random.integers(1, 12)).tolist() for _ in range(300)]
    pl.DataFrame({"tokens": texts}).write_parquet(tmp_path / "table.parquet")
    artifact = adopted(write_embedding(tmp_path, "exported", "path: table.parquet"))
    assert artifact.evaluation.metrics == {}
    assert artifact.evaluation.rows
    assert artifact.evaluation.rows.total == 300
    reference = artifact.reference
    assert reference is not None
    assert list(reference.predictions) == ["values"]


def test_a_forest_of_two_targets(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    age, shoe = random.integers(2, 18, 300), random.normal(35, 5, 300)
    targets = np.column_stack([75 + 6 * age + random.normal(size=300), 3 + 3 * age + shoe / 10])
    table = pl.DataFrame({"age": age, "shoe": shoe, "height": targets[:, 0], "weight": targets[:, 1]})
    model = RandomForestRegressor(5, max_depth=5, random_state=0).fit(table.select("age", "shoe").to_numpy(), targets)
    path = write_adoption(tmp_path, model, "height", table, columns="[age, shoe]")
    text = path.read_text().replace("target: height", "targets: [height, weight]")
    path.write_text(f"{text}units: {{height: cm}}\ngates: {{metrics: {{r2: {{at_least: 0.5}}}}}}\n")
    artifact = adopted(path)
    output = VectorOutput(target="height and weight", names=("height", "weight"), units=("cm", None), length=2)
    assert artifact.contract.output == output
    rows = table.select("age", "shoe").head(20)
    answers = [answer["values"] for answer in predict(artifact, rows.to_dicts()) if answer]
    assert all(list(answer) == ["height", "weight"] for answer in answers)
    assert np.allclose([list(answer.values()) for answer in answers], model.predict(rows.to_numpy()), rtol=1e-6)
    evaluation = artifact.evaluation
    assert evaluation.adoption and evaluation.adoption.equality
    assert evaluation.adoption.equality.is_proved
    own, mean = evaluation.metrics[MODEL], evaluation.metrics[TRIVIAL]
    assert own.keys() == mean.keys() >= {"rmse[height]", "mae[height]", "r2[height]", "rmse[weight]"}
    assert own["rmse[weight]"].high < mean["rmse[weight]"].low
    assert [gate.name for gate in evaluation.gates] == ["gates.metrics.r2[height]", "gates.metrics.r2[weight]"]

"""Steps of scikit-learn before a network become one graph with it, which answers as both do."""

import pickle
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pandas
import pytest
import torch
from numpy.typing import NDArray
from onnx import TensorProto
from sklearn.compose import make_column_transformer
from sklearn.impute import KNNImputer, SimpleImputer
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, MinMaxScaler, OneHotEncoder, StandardScaler

from model_deployer.adoption.graph.unsupported import UnsupportedModel
from model_deployer.adoption.graph.written_steps import write_steps
from model_deployer.adoption.network.network import read_network
from model_deployer.adoption.network.prepared_input import join_steps, prepared_input
from model_deployer.adoption.network.wrapped_network import wrap_network
from model_deployer.adoption.source.pickle_file import read_pickle
from model_deployer.adoption.stored_object import StoredObject
from model_deployer.contract import store
from model_deployer.contract.artifact import Artifact
from model_deployer.contract.errors import CheckFailed
from model_deployer.contract.source_runner import NetworkAnswer
from model_deployer.serving.engines.offline import predict
from model_deployer.training.fit import fit
from tests.support.adoptions import write_spec
from tests.support.in_process import model_store
from tests.support.onnx_graphs import linear_graph

RANDOM = np.random.default_rng(5)
FRAME = pandas.DataFrame(
    {
        "age": RANDOM.integers(18, 80, 60).astype(float),
        "income": RANDOM.normal(30_000, 8_000, 60).round(2),
        "city": RANDOM.choice(["Ulm", "Bonn", "Trier"], 60),
    }
)
NUMBERS = FRAME[["age", "income"]]


@pytest.fixture(autouse=True)
def _store(tmp_path: Path) -> Any:
    with model_store(tmp_path / "home"):
        yield


def adopt(
    folder: Path, steps: list[Any], network: onnx.ModelProto | torch.nn.Module, table: bool = False, **keys: str
) -> Artifact:
    """Adopt steps and a network, with the frame as a table or without one."""
    handed = folder / "handed"
    handed.mkdir()
    names = [f"step{number}.pkl" for number in range(len(steps))]
    for name, step in zip(names, steps, strict=True):
        (handed / name).write_bytes(pickle.dumps(step))
    if isinstance(network, torch.nn.Module):
        torch.save(network, handed / "network.pt")
        names.append("network.pt")
    else:
        onnx.save(network, handed / "network.onnx")
        names.append("network.onnx")
    FRAME.assign(spend=FRAME.age * 2).to_csv(folder / "table.csv", index=False)
    path = write_spec(folder, "spend", source="handed", steps=f"[{', '.join(names)}]", outputs="value", **keys)
    if not table:
        path.write_text(path.read_text().replace("path: table.csv, ", ""))
    return store.load(fit(path).tag)


def own(network: bytes, rows: NDArray[Any]) -> NDArray[np.float32]:
    """Return the answers of a network to prepared rows."""
    session = onnxruntime.InferenceSession(network)
    tensor = session.get_inputs()[0]
    values = rows.astype(np.float64 if tensor.type == "tensor(double)" else np.float32)
    return np.asarray(session.run(None, {tensor.name: values})[0])[:, 0].astype(np.float32)


def answers(artifact: Artifact, rows: pandas.DataFrame) -> list[float]:
    return [answer["value"] for answer in predict(artifact, rows.to_dict("records")) if answer]


@pytest.mark.parametrize(
    ("element", "opset"), [(TensorProto.FLOAT, 18), (TensorProto.DOUBLE, 13), (TensorProto.FLOAT, 21)]
)
def test_steps_take_the_version_of_the_operators_of_a_network(element: int, opset: int) -> None:
    scaler, graph = StandardScaler().fit(NUMBERS), linear_graph(2, 1, None, element=element, opset=opset)
    stored = read_pickle(pickle.dumps(make_pipeline(scaler)))
    assert isinstance(stored, StoredObject)
    steps, network = write_steps(stored, None, passes_missing=False), read_network(graph.SerializeToString())
    answer = NetworkAnswer(tensor="y", position=0, meaning="value", is_single=True, fields=(2,), labels=(), names=())
    joined = join_steps(steps, wrap_network(network, [prepared_input(network, 2)], answer, 1))
    feeds = {name: NUMBERS[[name]].to_numpy() for name in NUMBERS}
    (values,) = onnxruntime.InferenceSession(joined.SerializeToString()).run(["value"], feeds)
    assert np.array_equal(values[:, 0], own(graph.SerializeToString(), scaler.transform(NUMBERS)))
    assert [field.source_field.refuses_missing for field in steps.fields] == [True, True]


def test_a_column_with_the_name_of_the_output_is_refused() -> None:
    stored = read_pickle(pickle.dumps(make_pipeline(StandardScaler().fit(NUMBERS.rename(columns={"age": "value"})))))
    assert isinstance(stored, StoredObject)
    network = read_network(linear_graph(2, 1, None).SerializeToString())
    answer = NetworkAnswer(tensor="y", position=0, meaning="value", is_single=True, fields=(2,), labels=(), names=())
    wrapped = wrap_network(network, [prepared_input(network, 2)], answer, 1)
    with pytest.raises(UnsupportedModel, match="a column has the name of the output, 'value'"):
        join_steps(write_steps(stored, None, passes_missing=False), wrapped)


def test_texts_and_missing_numbers_go_through_steps(tmp_path: Path) -> None:
    """An encoder makes numbers of texts, and an imputer of missing numbers; a second step follows."""
    numbers = make_pipeline(SimpleImputer(), MinMaxScaler())
    encoder = make_column_transformer((numbers, ["age", "income"]), (OneHotEncoder(), ["city"])).fit(FRAME)
    scaler = StandardScaler().fit(encoder.transform(FRAME))
    artifact = adopt(tmp_path, [encoder, scaler], linear_graph(5, 1, None), table=True)
    rows = FRAME.head(20).astype(object)
    rows.iloc[3, 0] = None
    prepared = scaler.transform(encoder.transform(rows.astype({"age": float, "income": float})))
    network = (tmp_path / "handed" / "network.onnx").read_bytes()
    assert np.allclose(answers(artifact, rows), own(network, prepared), rtol=1e-5, atol=1e-6)
    assert artifact.runner is None
    evidence = artifact.evaluation.adoption
    assert evidence and evidence.equality and evidence.equality.differing == 0
    assert {feature.name: feature.nullable for feature in artifact.contract.features} == {
        "age": True, "income": True, "city": False,
    }  # fmt: skip


def test_a_scaler_and_a_network_of_torch(tmp_path: Path) -> None:
    torch.manual_seed(0)
    network = torch.nn.Sequential(torch.nn.Linear(2, 4), torch.nn.ReLU(), torch.nn.Linear(4, 1)).eval()
    scaler = StandardScaler().fit(NUMBERS.to_numpy())
    artifact = adopt(tmp_path, [scaler], network, table=True, columns="[age, income]")
    rows = torch.tensor(scaler.transform(NUMBERS.to_numpy()), dtype=torch.float32)
    assert artifact.runner is None
    assert np.allclose(answers(artifact, NUMBERS), network(rows)[:, 0].detach().numpy(), atol=1e-5)


@pytest.mark.parametrize(
    ("step", "width", "reason"),
    [
        (FunctionTransformer(np.fft.fft), 2, "a step before the network cannot become a graph"),
        (KNNImputer(), 2, "KNNImputer has no graph writer"),
        (StandardScaler(), 3, "the steps give 2 columns, but the network takes 3"),
    ],
)
def test_steps_without_a_graph_are_named(tmp_path: Path, step: Any, width: int, reason: str) -> None:
    with pytest.raises(CheckFailed, match=reason):
        adopt(tmp_path, [step.fit(NUMBERS)], linear_graph(width, 1, None))

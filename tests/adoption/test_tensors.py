"""Networks of tensors with fixed and free axes: the graph answers each shape as torch and ONNX Runtime do."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import polars as pl
import pytest
from onnx import TensorProto, helper

from model_deployer.adoption.cell.trust import digest_of
from model_deployer.adoption.source.unreadable_source import UnreadableSource
from model_deployer.contract import store
from model_deployer.contract.artifact import Artifact
from model_deployer.contract.errors import CheckFailed, DataError, SpecError
from model_deployer.contract.features import Tensor
from model_deployer.serving.engines.offline import predict
from model_deployer.training.fit import fit
from tests.support import tensor_networks
from tests.support.in_process import deployer, model_store
from tests.support.onnx_graphs import linear_graph, write_network_spec
from tests.support.tensor_networks import ADOPT, BANDS, FEATURES, LABELS, LONGEST, SHORTEST

SIGNALS = tensor_networks.signals(40)


@pytest.fixture(autouse=True)
def _store(tmp_path: Path) -> Iterator[None]:
    with model_store(tmp_path / "home"):
        yield


def adopted(folder: Path, source: str, adopt: str = ADOPT, data: str = "", features: str = FEATURES) -> Artifact:
    trust = "" if source.endswith(".onnx") else f"  trust: {digest_of(folder / source)}\n"
    return store.load(fit(write_network_spec(folder, source, trust + adopt, data, features)).tag)


def probabilities(artifact: Artifact, signals: Any = SIGNALS, name: str = "signal") -> Any:
    answers = predict(artifact, [{name: signal.tolist()} for signal in signals])
    return np.array([list(answer["probabilities"].values()) for answer in answers if answer])


@pytest.mark.parametrize("kind", ["module", "torchscript", "exported", "onnx"])
def test_a_classifier_of_signals_of_any_duration(kind: str, tmp_path: Path) -> None:
    artifact = adopted(tmp_path, tensor_networks.write(kind, tmp_path))
    expected = tensor_networks.answers(SIGNALS)
    assert len(set(expected.argmax(axis=1))) == 3
    assert np.allclose(probabilities(artifact), expected, atol=1e-6)
    (signal,) = artifact.contract.features
    assert signal.model_dump()["shape"] == (BANDS, (SHORTEST, LONGEST))
    assert isinstance(signal, Tensor)
    assert (signal.unit, signal.required, np.shape(signal.example)) == ("dB", True, (BANDS, SHORTEST))
    evidence = artifact.evaluation.adoption
    assert evidence is not None and evidence.equality is not None
    assert (evidence.served_by, evidence.equality.flips) == ("graph", 0)
    cases = {case.case for case in artifact.golden()}
    assert len(cases) > 20


@pytest.mark.parametrize("form", ["parquet", "csv"])
def test_a_table_says_the_sizes(form: str, tmp_path: Path) -> None:
    """Its truth is what torch answers. CSV has the tensors as text in JSON."""
    signals = tensor_networks.signals(90, seed=1)
    kinds = [LABELS[index] for index in tensor_networks.answers(signals).argmax(axis=1)]
    column = [signal.tolist() if form == "parquet" else json.dumps(signal.tolist()) for signal in signals]
    frame = pl.DataFrame({"signal": column, "kind": kinds})
    _ = frame.write_parquet(tmp_path / "t.parquet") if form == "parquet" else frame.write_csv(tmp_path / "t.csv")
    source = tensor_networks.write("onnx", tmp_path)
    artifact = adopted(tmp_path, source, ADOPT, f"path: t.{form}, target: kind", "")
    lengths = [signal.shape[1] for signal in signals]
    (signal,) = artifact.contract.features
    assert signal.model_dump()["shape"] == (BANDS, (min(lengths), max(lengths)))
    assert artifact.evaluation.metrics["model"]["accuracy"].value == 1
    repeated = [each.message for each in artifact.evaluation.findings if each.code == "duplicate_rows"]
    assert all(int(message.split()[0]) <= 30 for message in repeated)  # a third of the signals are silent
    assert artifact.reference is not None and signal.name in artifact.reference.features
    assert np.allclose(probabilities(artifact, signals), tensor_networks.answers(signals), atol=1e-6)


def test_the_source_itself_is_served(tmp_path: Path) -> None:
    artifact = adopted(tmp_path, tensor_networks.write("torchscript", tmp_path), ADOPT + "  serve: runner\n")
    assert not (artifact.path / "model.onnx").exists()
    assert np.allclose(probabilities(artifact), tensor_networks.answers(SIGNALS), atol=1e-6)


PROGRAM = """
def predict(table):
    return [signal.sum() + signal.shape[1] for signal in table["signal"]]
"""


def test_a_program_gets_arrays_without_padding(tmp_path: Path) -> None:
    (tmp_path / "m.py").write_text(PROGRAM)
    artifact = adopted(tmp_path, "m.py", "  serve: runner\n")
    answers = [
        answer["value"] for answer in predict(artifact, [{"signal": each.tolist()} for each in SIGNALS]) if answer
    ]
    assert np.allclose(answers, [signal.sum() + signal.shape[1] for signal in SIGNALS])


def matrix_graph(sizes: list[int | str | None], element: int = TensorProto.FLOAT) -> onnx.ModelProto:
    """Return a graph of three probabilities, from the sums over the first axis of a matrix [rows, ?, 3]."""
    nodes = [
        helper.make_node("Cast", ["x"], ["float"], to=TensorProto.FLOAT),
        helper.make_node("ReduceSum", ["float", "axis"], ["sums"], keepdims=0),
        helper.make_node("Softmax", ["sums"], ["y"]),
    ]
    graph = helper.make_graph(
        nodes,
        "matrix",
        [helper.make_tensor_value_info("x", element, ["n", *sizes])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", 3])],
        [helper.make_tensor("axis", TensorProto.INT64, [1], [1])],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)


def test_a_fixed_matrix_keeps_its_shape(tmp_path: Path) -> None:
    onnx.save(matrix_graph([2, 3]), tmp_path / "m.onnx")
    labels = f"  labels: {LABELS}\n"
    artifact = adopted(tmp_path, "m.onnx", labels, features="")
    (matrix,) = artifact.contract.features
    assert (matrix.kind, matrix.shape) == ("tensor", (2, 3))
    matrices = np.random.default_rng(0).normal(size=(5, 2, 3))
    sums = matrices.astype(np.float32).sum(axis=1)
    expected = np.exp(sums) / np.exp(sums).sum(axis=1, keepdims=True)
    assert np.allclose(probabilities(artifact, matrices, "x"), expected, atol=1e-6)
    flat = adopted(tmp_path, "m.onnx", labels, features="features: {x: {kind: vector}}\n")
    assert (flat.contract.features[0].kind, flat.contract.features[0].shape) == ("vector", (6,))


def test_small_whole_numbers_have_the_bounds_of_their_type(tmp_path: Path) -> None:
    onnx.save(matrix_graph([2, 3], TensorProto.INT8), tmp_path / "m.onnx")
    (matrix,) = adopted(tmp_path, "m.onnx", f"  labels: {LABELS}\n", features="").contract.features
    assert "whole numbers of the shape [2, 3], each from -128 to 127" in matrix.expected()


FREE: list[Any] = ["t", 3]


@pytest.mark.parametrize(
    ("sizes", "field", "reason"),
    [
        (FREE, "", r"such as `x: {kind: tensor, shape: \[\[1, 500\], 3\]}`"),
        (FREE, "x: {kind: tensor, shape: [[1, 9], 4]}", r"takes tensors of the sizes \?x3 .* and 'x' has others"),
        ([3], "x: {kind: tensor, shape: [[1, 9], 3]}", "takes tensors of the sizes 3 for each row"),
        (FREE, "x: {kind: tensor, shape: [[1, 900000], 3]}", "at most 1,000,000 are allowed"),
        (FREE, "x: {kind: tensor, shape: [5]}", "make a field with one axis a `vector` or a `sequence`"),
        (FREE, "x: {kind: vector, shape: [5, 3]}", "`shape` is for a `tensor`"),
    ],
)
def test_shapes_that_do_not_fit(sizes: list[Any], field: str, reason: str, tmp_path: Path) -> None:
    graph = matrix_graph(sizes) if len(sizes) > 1 else linear_graph(3, 3, "Softmax")
    onnx.save(graph, tmp_path / "m.onnx")
    with pytest.raises((CheckFailed, SpecError, UnreadableSource), match=reason):
        adopted(tmp_path, "m.onnx", f"  labels: {LABELS}\n", features=f"features: {{{field}}}\n")


def test_a_table_with_another_shape(tmp_path: Path) -> None:
    signals = [*[np.zeros((BANDS, 6))] * 40, np.zeros((3, 6))]
    kinds = [LABELS[row % 3] for row in range(len(signals))]
    frame = pl.DataFrame({"signal": [signal.tolist() for signal in signals], "kind": kinds})
    frame.write_parquet(tmp_path / "t.parquet")
    source = tensor_networks.write("onnx", tmp_path)
    with pytest.raises(DataError, match="column 'signal', row 41: expected nested lists of numbers of the shape"):
        adopted(tmp_path, source, ADOPT, "path: t.parquet, target: kind")


@pytest.mark.parametrize(
    ("sizes", "line"), [(FREE, "signal: {kind: tensor, shape: [[1, 500], 80]}"), ([2, 3], "# 2x3 for each row")]
)
def test_the_draft_says_how_a_tensor_is_described(sizes: list[Any], line: str, tmp_path: Path) -> None:
    onnx.save(matrix_graph(sizes), tmp_path / "m.onnx")
    deployer("adopt", "m.onnx", "-o", "model.yaml", cwd=tmp_path, home=tmp_path / "home")
    assert line in (tmp_path / "model.yaml").read_text()


def test_training_refuses_a_tensor_in_words(tmp_path: Path) -> None:
    pl.DataFrame({"t": [[[1.0, 2.0]]] * 20, "y": [0, 1] * 10}).write_parquet(tmp_path / "t.parquet")
    path = tmp_path / "model.yaml"
    path.write_text("name: m\ndata: {path: t.parquet, target: y}\nfeatures: {t: {kind: tensor}}\n")
    with pytest.raises(SpecError, match="a field of kind `tensor` needs `adopt`"):
        fit(path)

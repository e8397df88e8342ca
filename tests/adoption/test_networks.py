"""Graphs in ONNX of other programs are served as they are, with the contract around them."""

import json
import pickle
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pandas
import polars as pl
import pytest
import torch
import yaml
from numpy.typing import NDArray
from onnx import TensorProto, helper
from skl2onnx import to_onnx
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler

from model_deployer.adoption.cell.trust import digest_of
from model_deployer.adoption.network.network import read_network
from model_deployer.adoption.network.output_meaning import Stated, read_answer
from model_deployer.adoption.opened_network import in_order
from model_deployer.adoption.read_source import SourceHints, read_source
from model_deployer.adoption.source.unreadable_source import UnreadableSource
from model_deployer.contract import store
from model_deployer.contract.artifact import Artifact
from model_deployer.contract.errors import CheckFailed, DataError
from model_deployer.contract.outputs import Classification
from model_deployer.serving.engines.offline import predict
from model_deployer.training.data.adoption_draft import draft_of
from model_deployer.training.fit import fit
from tests.support.adoptions import write_spec
from tests.support.in_process import model_store
from tests.support.onnx_graphs import ROWS, linear_graph, softmax, write_network_spec

KERAS = Path(__file__).parent / "keras"
NAMES = ["a", "b", "c"]
TABLE = pl.DataFrame({name: ROWS[:, index] for index, name in enumerate(NAMES)})
KINDS = np.array(["cat", "dog", "owl"])[np.argmax(ROWS + np.random.default_rng(2).normal(size=ROWS.shape), axis=1)]
COLUMNS = "  columns: [a, b, c]\n"


@pytest.fixture(autouse=True)
def _store(tmp_path: Path) -> Any:
    with model_store(tmp_path / "home"):
        yield


def adopted(path: Path) -> Artifact:
    return store.load(fit(path).tag)


def probabilities(artifact: Artifact, rows: list[dict[str, Any]]) -> NDArray[np.float64]:
    return np.array([list(answer["probabilities"].values()) for answer in predict(artifact, rows) if answer])


def own_answers(path: Path, feeds: dict[str, Any], output: str) -> Any:
    return onnxruntime.InferenceSession(path).run([output], feeds)[0]


def with_table(folder: Path, target: str, values: Any) -> str:
    TABLE.with_columns(pl.Series(target, values)).write_csv(folder / "table.csv")
    return f"path: table.csv, target: {target}"


def test_a_classifier_with_maps_of_labels(tmp_path: Path) -> None:
    """Its labels come from the map, its columns from the table; no consent is needed to read a graph."""
    model = LogisticRegression().fit(ROWS, KINDS)
    (tmp_path / "m.onnx").write_bytes(to_onnx(model, ROWS[:1].astype(np.float32)).SerializeToString())
    artifact = adopted(write_network_spec(tmp_path, "m.onnx", data=with_table(tmp_path, "kind", KINDS)))
    answers = [answer for answer in predict(artifact, TABLE.to_dicts()) if answer]
    shares = [list(answer["probabilities"].values()) for answer in answers]
    assert np.allclose(shares, model.predict_proba(ROWS), atol=1e-5)
    assert [answer["decision"] for answer in answers] == model.predict(ROWS).tolist()
    assert artifact.evaluation.adoption and artifact.evaluation.adoption.equality
    assert artifact.evaluation.adoption.equality.flips == 0
    assert all(not feature.nullable for feature in artifact.contract.features)


@pytest.mark.parametrize(("adopt", "target"), [("", KINDS), ("  serve: runner\n", (ROWS[:, 0] > 0).astype(int))])
def test_an_output_for_each_class(adopt: str, target: NDArray[Any], tmp_path: Path) -> None:
    """Outputs that skl2onnx writes with ``zipmap: columns`` are the probabilities of one answer."""
    model = LogisticRegression().fit(ROWS, target)
    graph = to_onnx(model, ROWS[:1].astype(np.float32), options={"zipmap": "columns"})
    assert len(graph.graph.output) == len(model.classes_) + 1
    onnx.save(graph, tmp_path / "m.onnx")
    data = with_table(tmp_path, "kind", target)
    artifact = adopted(write_network_spec(tmp_path, "m.onnx", adopt, data))
    answers = [answer for answer in predict(artifact, TABLE.to_dicts()) if answer]
    shares = [list(answer["probabilities"].values()) for answer in answers]
    assert np.allclose(shares, model.predict_proba(ROWS), atol=1e-5)
    assert [answer["decision"] for answer in answers] == list(map(str, model.predict(ROWS)))


def test_lines_about_a_build_in_place_of_a_version(tmp_path: Path) -> None:
    """CatBoost states some. They stay in the comment of model.yaml, and change no setting."""
    graph = linear_graph(3, 3, "Softmax")
    graph.producer_name, graph.producer_version = "Cat\nname: other", "Git info:\n  Branch: tags/v1.2.10\n  Author: x"
    onnx.save(graph, tmp_path / "m.onnx")
    read = read_source(tmp_path / "m.onnx", SourceHints())
    options: dict[str, Any] = {"name": "net", "table": None, "targets": ["kind"], "is_trusted": False}
    draft = draft_of(read, tmp_path / "m.onnx", tmp_path, **options)
    assert "source: m.onnx  # onnx, stored with producer Cat name: other 1.2.10\n" in draft
    assert yaml.safe_load(draft) == {"name": "net", "adopt": {"source": "m.onnx"}, "data": {"target": "kind"}}


def test_constants_that_became_inputs(tmp_path: Path) -> None:
    """The export of Keras 3 to ONNX writes the mean of a Normalization layer as an input of the network."""
    graph = linear_graph(3, 3, "Softmax")
    graph.producer_name = "tf2onnx"
    name = "sequential/normalization/Sub/y:0"
    graph.graph.input.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, 3]))
    onnx.save(graph, tmp_path / "m.onnx")
    with pytest.raises(UnreadableSource, match=f"lost the numbers of '{name}', .* as `.keras`"):
        read_source(tmp_path / "m.onnx", SourceHints())


def test_inputs_are_in_the_order_of_the_source() -> None:
    """Else the columns of ``adopt.columns`` are those of other inputs; names that differ say nothing of the order."""
    graph = linear_graph(1, 3, "Softmax")
    graph.graph.input.append(helper.make_tensor_value_info("other", TensorProto.FLOAT, ["n", 1]))
    network = read_network(graph.SerializeToString())
    assert [tensor.name for tensor in in_order(network, ["other", "x"]).inputs] == ["other", "x"]
    assert in_order(network, ["serving_other", "serving_x"]) == in_order(network, []) == network


def test_labels_are_renamed(tmp_path: Path) -> None:
    target = (ROWS[:, 0] > 0).astype(int)
    model = to_onnx(LogisticRegression().fit(ROWS, target), ROWS[:1].astype(np.float32), options={"zipmap": False})
    (tmp_path / "m.onnx").write_bytes(model.SerializeToString())
    data = with_table(tmp_path, "kind", np.array(["no", "yes"])[target])
    artifact = adopted(write_network_spec(tmp_path, "m.onnx", '  labels: ["no", "yes"]\n', data))
    expected = own_answers(tmp_path / "m.onnx", {"X": ROWS.astype(np.float32)}, "probabilities")
    assert np.allclose(
        [answer["probabilities"]["yes"] for answer in predict(artifact, TABLE.to_dicts()) if answer],
        expected[:, 1],
        atol=1e-6,
    )


@pytest.mark.parametrize("rows", ["n", 1])
@pytest.mark.parametrize("element", [TensorProto.FLOAT, TensorProto.DOUBLE])
def test_a_matrix_of_numbers(rows: Any, element: int, tmp_path: Path) -> None:
    """One row at a time is made free if the graph allows it; the tensor ``probabilities`` in it is its weights."""
    graph = linear_graph(3, 3, "Softmax", rows=rows, element=element, opset=11 if rows == 1 else 18)
    onnx.save(graph, tmp_path / "m.onnx")
    artifact = adopted(write_network_spec(tmp_path, "m.onnx", COLUMNS))
    values = ROWS.astype(helper.tensor_dtype_to_np_dtype(element))
    expected = [own_answers(tmp_path / "m.onnx", {"x": row[None]}, "y")[0] for row in values]
    assert np.allclose(probabilities(artifact, TABLE.to_dicts()), expected, atol=1e-6)


def test_a_quantity(tmp_path: Path) -> None:
    onnx.save(linear_graph(3, 1, None), tmp_path / "m.onnx")
    expected = own_answers(tmp_path / "m.onnx", {"x": ROWS.astype(np.float32)}, "y")[:, 0]
    artifact = adopted(write_network_spec(tmp_path, "m.onnx", data=with_table(tmp_path, "y", expected + ROWS[:, 0])))
    answers = [answer for answer in predict(artifact, TABLE.to_dicts()) if answer]
    assert np.allclose([answer["value"] for answer in answers], expected, atol=1e-5)


def test_a_vector(tmp_path: Path) -> None:
    onnx.save(linear_graph(64, 2, "Softmax"), tmp_path / "m.onnx")
    features = "features: {embedding: {kind: vector, description: Of a text.}}\n"
    artifact = adopted(write_network_spec(tmp_path, "m.onnx", features=features))
    (field,) = artifact.contract.features
    assert (field.name, field.kind, field.shape, field.description) == ("embedding", "vector", (64,), "Of a text.")
    rows = np.random.default_rng(3).normal(size=(20, 64))
    expected = own_answers(tmp_path / "m.onnx", {"x": rows.astype(np.float32)}, "y")
    assert np.allclose(probabilities(artifact, [{"embedding": row.tolist()} for row in rows]), expected, atol=1e-6)


def test_inputs_for_each_column(tmp_path: Path) -> None:
    """Texts, whole numbers and numbers have inputs of their own."""
    scores = helper.make_node("Sum", ["size:number", "age:number", "long:number"], ["answer"])
    nodes = [
        helper.make_node(
            "LabelEncoder",
            ["city"],
            ["long"],
            domain="ai.onnx.ml",
            keys_strings=["Ulm", "Bern"],
            values_floats=[1.5, -2.0],
            default_float=0.25,
        ),
        *(
            helper.make_node("Cast", [name], [f"{name}:number"], to=TensorProto.FLOAT)
            for name in ("size", "age", "long")
        ),
        scores,
    ]
    kinds = {"size": TensorProto.FLOAT, "age": TensorProto.INT64, "city": TensorProto.STRING}
    inputs = [helper.make_tensor_value_info(name, kind, [None, 1]) for name, kind in kinds.items()]
    outputs = [helper.make_tensor_value_info("answer", TensorProto.FLOAT, [None, 1])]
    opsets = [helper.make_opsetid("", 18), helper.make_opsetid("ai.onnx.ml", 3)]
    graph = helper.make_graph(nodes, "columns", inputs, outputs)
    onnx.save(helper.make_model(graph, opset_imports=opsets, ir_version=9), tmp_path / "m.onnx")
    artifact = adopted(write_network_spec(tmp_path, "m.onnx"))
    assert [field.kind for field in artifact.contract.features] == ["numeric", "integer", "categorical"]
    answers = predict(artifact, [{"size": 2.5, "age": 40, "city": city} for city in ("Ulm", "Bern", "Graz")])
    assert [answer["value"] for answer in answers if answer] == [44.0, 40.5, 42.75]


def test_logits_are_asked_for(tmp_path: Path) -> None:
    onnx.save(linear_graph(3, 3, None), tmp_path / "m.onnx")
    with pytest.raises(CheckFailed, match=r"3 numbers .* that are not probabilities: add `outputs: logits`"):
        fit(write_network_spec(tmp_path, "m.onnx", COLUMNS))
    artifact = adopted(write_network_spec(tmp_path, "m.onnx", COLUMNS + "  outputs: logits\n"))
    onnx.save(linear_graph(3, 3, "Softmax"), tmp_path / "softmax.onnx")
    expected = own_answers(tmp_path / "softmax.onnx", {"x": ROWS.astype(np.float32)}, "y")
    assert np.allclose(probabilities(artifact, TABLE.to_dicts()), expected, atol=1e-6)


def test_a_single_logit(tmp_path: Path) -> None:
    onnx.save(linear_graph(3, 1, None), tmp_path / "m.onnx")
    adopt = COLUMNS + '  outputs: logits\n  labels: ["no", "yes"]\n'
    artifact = adopted(write_network_spec(tmp_path, "m.onnx", adopt))
    score = own_answers(tmp_path / "m.onnx", {"x": ROWS.astype(np.float32)}, "y")[:, 0]
    assert np.allclose(probabilities(artifact, TABLE.to_dicts())[:, 1], 1 / (1 + np.exp(-score)), atol=1e-6)


def test_the_source_itself_is_served(tmp_path: Path) -> None:
    onnx.save(linear_graph(3, 3, None), tmp_path / "m.onnx")
    path = write_network_spec(tmp_path, "m.onnx", COLUMNS + "  outputs: logits\n  serve: runner\n")
    artifact = adopted(path)
    graph = adopted(write_network_spec(tmp_path, "m.onnx", COLUMNS + "  outputs: logits\n"))
    rows = TABLE.head(5).to_dicts()
    assert np.allclose(probabilities(artifact, rows), probabilities(graph, rows), atol=1e-6)


def test_external_data_is_part_of_the_artifact(tmp_path: Path) -> None:
    (tmp_path / "net").mkdir()
    graph = linear_graph(3, 3, "Softmax")
    onnx.save(graph, tmp_path / "net" / "m.onnx", save_as_external_data=True, location="w.bin", size_threshold=0)
    artifact = adopted(write_network_spec(tmp_path, "net", COLUMNS))
    onnx.save(linear_graph(3, 3, "Softmax"), tmp_path / "m.onnx")
    expected = own_answers(tmp_path / "m.onnx", {"x": ROWS.astype(np.float32)}, "y")
    assert np.allclose(probabilities(artifact, TABLE.to_dicts()), expected, atol=1e-6)


def _two_outputs() -> onnx.ModelProto:
    graph = linear_graph(3, 3, "Softmax")
    graph.graph.output.append(helper.make_tensor_value_info("score", TensorProto.FLOAT, ["n", 3]))
    return graph


def _one_row_inside() -> onnx.ModelProto:
    """Return a graph that reshapes its answer to one row."""
    graph = linear_graph(3, 3, "Softmax", rows=1)
    graph.graph.node[-1].output[0] = "shares"
    graph.graph.node.append(helper.make_node("Reshape", ["shares", "shape"], ["y"]))
    graph.graph.initializer.append(onnx.numpy_helper.from_array(np.array([1, 3]), "shape"))
    return graph


REFUSED: dict[str, tuple[onnx.ModelProto, type[Exception], str]] = {
    "two outputs": (_two_outputs(), CheckFailed, "has the outputs y, score, and one of numbers is needed"),
    "four rows": (linear_graph(3, 3, "Softmax", rows=4), UnreadableSource, "'x' has 4 rows at a time"),
    "one row inside": (_one_row_inside(), CheckFailed, "does not answer 2 rows with its graph"),
    "any width": (linear_graph(4, 3, "Softmax"), UnreadableSource, "reads 4 columns, but 3 names are stated"),
    "old operators": (linear_graph(3, 3, "Softmax", opset=6), UnreadableSource, "export it with opset 7 or later"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_is_refused(case: str, tmp_path: Path) -> None:
    graph, error, message = REFUSED[case]
    onnx.save(graph, tmp_path / "m.onnx")
    with pytest.raises(error, match=message):
        fit(write_network_spec(tmp_path, "m.onnx", COLUMNS))


def test_a_table_with_other_columns(tmp_path: Path) -> None:
    onnx.save(linear_graph(4, 1, None), tmp_path / "m.onnx")
    with pytest.raises(DataError, match=r"reads 4 columns .* the table has 3 columns without a role: a, b, c"):
        fit(write_network_spec(tmp_path, "m.onnx", data=with_table(tmp_path, "y", ROWS[:, 0])))


class Perceptron(torch.nn.Module):
    """A network with a softmax; its number of rows decides nothing."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = torch.nn.Sequential(torch.nn.Linear(3, 8), torch.nn.ReLU(), torch.nn.Linear(8, 3))

    def forward(self, rows: torch.Tensor) -> torch.Tensor:
        shares: torch.Tensor = torch.softmax(self.layers(rows), dim=1)
        return shares


NETWORK = """
import torch
from torch import nn

raise SystemExit("the script ran")

class Perceptron(nn.Module):
    def __init__(self):
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(3, 8), nn.ReLU(), nn.Linear(8, 3))

    def forward(self, rows):
        return torch.softmax(self.layers(rows), dim=1)
"""


def _write_torch(kind: str, folder: Path) -> NDArray[np.float32]:
    """Write a network in one of the forms of torch, and return its answers to ``ROWS``."""
    torch.manual_seed(0)
    network, rows = Perceptron().eval(), torch.tensor(ROWS, dtype=torch.float32)
    folder.mkdir()
    if kind == "torchscript":
        torch.jit.trace(network, rows[:1]).save(str(folder / "m.pt"))  # type: ignore[no-untyped-call]
    elif kind == "exported":
        torch.export.save(torch.export.export(network, (rows[:1],)), folder / "m.pt2")
    elif kind == "module":
        torch.save(network.layers, folder / "m.pt")
        return np.asarray(network.layers(rows).detach())
    else:
        torch.save(network.state_dict(), folder / "m.pt")
        (folder / "net.py").write_text(NETWORK)
    return np.asarray(network(rows).detach())


@pytest.mark.parametrize("kind", ["torchscript", "exported", "module", "weights"])
def test_networks_of_torch(kind: str, tmp_path: Path) -> None:
    expected = _write_torch(kind, tmp_path / "net")
    adopt = f"  trust: {digest_of(tmp_path / 'net')}\n{COLUMNS}"
    if kind == "module":
        adopt += "  outputs: logits\n"
        expected = softmax(expected).astype(np.float32)
    artifact = adopted(write_network_spec(tmp_path, "net", adopt))
    assert np.allclose(probabilities(artifact, TABLE.to_dicts()), expected, atol=1e-6)


def test_weights_without_their_class(tmp_path: Path) -> None:
    _write_torch("weights", tmp_path / "net")
    with pytest.raises(UnreadableSource, match="without its class: hand over the folder"):
        fit(write_network_spec(tmp_path, "net/m.pt", f"  trust: sha256:{'0' * 64}\n"))


def test_a_network_of_keras_as_tf2onnx_converts_it(tmp_path: Path) -> None:
    """With a normalization and a batch normalization; the answers are those of Keras."""
    shutil.copy(KERAS / "network.onnx", tmp_path)
    answers = json.loads((KERAS / "answers.json").read_text())
    artifact = adopted(write_network_spec(tmp_path, "network.onnx", COLUMNS))
    rows = [dict(zip(NAMES, row, strict=True)) for row in answers["rows"]]
    assert np.allclose(probabilities(artifact, rows), answers["probabilities"], atol=1e-6)
    assert all(not feature.nullable for feature in artifact.contract.features)


def test_trees_take_missing_numbers(tmp_path: Path) -> None:
    forest = to_onnx(RandomForestClassifier(5, random_state=0).fit(ROWS, KINDS), ROWS[:1].astype(np.float32))
    (tmp_path / "m.onnx").write_bytes(forest.SerializeToString())
    artifact = adopted(write_network_spec(tmp_path, "m.onnx", COLUMNS))
    assert all(feature.nullable for feature in artifact.contract.features)
    rows = [{"a": None, "b": 0.5, "c": 1.5}]
    session = onnxruntime.InferenceSession(tmp_path / "m.onnx")
    (expected,) = session.run(None, {"X": np.array([[np.nan, 0.5, 1.5]], np.float32)})[1]
    assert np.allclose(probabilities(artifact, rows)[0], [expected[name] for name in ("cat", "dog", "owl")], atol=1e-6)


@pytest.mark.parametrize("labels", [None, ["cat", "dog", "owl"]])
def test_a_table_of_vectors(labels: list[str] | None, tmp_path: Path) -> None:
    """Its evaluation has no linear baseline, which would need one number for each field."""
    onnx.save(linear_graph(8, 3 if labels else 1, "Softmax" if labels else None), tmp_path / "m.onnx")
    vectors = np.random.default_rng(5).normal(size=(150, 8))
    answers = own_answers(tmp_path / "m.onnx", {"x": vectors.astype(np.float32)}, "y")
    truth = [labels[index] for index in answers.argmax(axis=1)] if labels else answers[:, 0].tolist()
    pl.DataFrame({"embedding": vectors.tolist(), "y": truth}).write_parquet(tmp_path / "table.parquet")
    adopt = f"  labels: {labels}\n" if labels else ""
    features = "features: {embedding: {kind: vector}}\n"
    artifact = adopted(
        write_network_spec(tmp_path, "m.onnx", adopt, "path: table.parquet, target: y", features=features)
    )
    evaluation = artifact.evaluation
    assert list(evaluation.metrics) == ["model", "trivial"]
    assert evaluation.adoption and evaluation.adoption.equality and evaluation.adoption.equality.table_rows == 150
    quality = evaluation.metrics["model"]["accuracy" if labels else "r2"].value
    assert quality > 0.999
    assert artifact.reference is not None and "embedding" in artifact.reference.features


def test_an_image_classifier_takes_pixels_as_a_vector(tmp_path: Path) -> None:
    """A convolution whose exported program is for one image at a time; its input has four dimensions."""
    torch.manual_seed(0)
    network = torch.nn.Sequential(
        torch.nn.Conv2d(3, 4, 3), torch.nn.ReLU(), torch.nn.Flatten(), torch.nn.Linear(4 * 36, 2), torch.nn.Softmax(1)
    ).eval()
    images = torch.randn(6, 3, 8, 8)
    torch.export.save(torch.export.export(network, (images[:1],)), tmp_path / "m.pt2")
    adopt = f"  trust: {digest_of(tmp_path / 'm.pt2')}\n"
    features = "features: {pixels: {kind: vector}}\n"
    artifact = adopted(write_network_spec(tmp_path, "m.pt2", adopt, features=features))
    rows = [{"pixels": image.flatten().tolist()} for image in images]
    assert artifact.contract.features[0].shape == (192,)
    assert np.allclose(probabilities(artifact, rows), np.asarray(network(images).detach()), atol=1e-6)


def test_a_quantity_of_torch_with_a_table(tmp_path: Path) -> None:
    """Far outside of the table, sums of float32 cancel and the two programs differ; these rows prove nothing."""
    torch.manual_seed(1)
    layers = [torch.nn.BatchNorm1d(3), torch.nn.Linear(3, 64), torch.nn.ReLU(), torch.nn.Linear(64, 64)]
    network, rows = torch.nn.Sequential(*layers, torch.nn.GELU(), torch.nn.Linear(64, 1)), torch.tensor(ROWS).float()
    network(rows)
    network.eval()
    torch.jit.trace(network, rows[:2]).save(str(tmp_path / "m.pt"))  # type: ignore[no-untyped-call]
    expected = network(rows)[:, 0].detach().double().numpy()
    data = with_table(tmp_path, "y", expected + np.random.default_rng(4).normal(size=len(ROWS)) / 10)
    path = write_network_spec(tmp_path, "m.pt", f"  trust: {digest_of(tmp_path / 'm.pt')}\n", data)
    answers = [answer["value"] for answer in predict(adopted(path), TABLE.to_dicts()) if answer]
    assert np.allclose(answers, expected, atol=1e-5)


def steps_spec(folder: Path, steps: str, **keys: str) -> Path:
    """Write a model.yaml, without a table, for the steps in the folder ``handed``."""
    path = write_spec(folder, "value", source="handed", steps=steps, **keys)
    path.write_text(path.read_text().replace("path: table.csv, ", ""))
    return path


def test_a_scaler_before_a_network_is_served_by_both(tmp_path: Path) -> None:
    """The scaler names the columns, and its numbers go to the network."""
    folder = tmp_path / "handed"
    folder.mkdir()
    scaler = StandardScaler().fit(pandas.DataFrame(ROWS, columns=NAMES))
    (folder / "scaler.pkl").write_bytes(pickle.dumps(scaler))
    (folder / "network.onnx").write_bytes(linear_graph(3, 1, None).SerializeToString())
    artifact = adopted(steps_spec(tmp_path, "[scaler.pkl, network.onnx]", serve="runner", outputs="value"))
    assert [feature.name for feature in artifact.contract.features] == NAMES
    scaled = scaler.transform(pandas.DataFrame(ROWS, columns=NAMES)).astype(np.float32)
    session = onnxruntime.InferenceSession(folder / "network.onnx")
    (expected,) = session.run(None, {session.get_inputs()[0].name: scaled})
    answers = [answer["value"] for answer in predict(artifact, TABLE.to_dicts()) if answer]
    assert np.allclose(answers, expected[:, 0], atol=1e-5)


@pytest.mark.parametrize(
    ("values", "classes", "meaning", "labels"),
    [
        ([0.1, 0.9], ("0", "1"), "probabilities", ("0", "1")),
        ([0.1, 0.9], ("false", "true"), "probabilities", ("false", "true")),
        ([0.1, 0.9], None, "value", None),
        ([-0.1, 1.9], None, "value", None),
    ],
)
def test_the_meaning_of_one_number(
    values: list[float], classes: tuple[str, str] | None, meaning: str, labels: tuple[str, str] | None
) -> None:
    """The target of the table decides whether a number from 0 to 1 is a probability."""
    tensors = {"y": np.array(values, np.float32)[:, None]}
    answer = read_answer(tensors, Stated(None, None, None, classes=classes), [3])
    assert (answer.answer.meaning, answer.labels) == (meaning, labels)


@pytest.mark.parametrize(
    ("values", "classes", "message"),
    [
        ([-0.1, 1.9], ("0", "1"), "not a probability, and the target has the values 0 and 1: add `outputs: logits`"),
        ([0.1, 0.9], ("no", "yes"), "does not name its class: the target has no and yes. Add both as `labels:"),
    ],
)
def test_one_number_whose_meaning_is_not_clear(values: list[float], classes: tuple[str, str], message: str) -> None:
    tensors = {"y": np.array(values, np.float32)[:, None]}
    with pytest.raises(CheckFailed, match=message):
        read_answer(tensors, Stated(None, None, None, classes=classes), [3])


def test_a_classifier_with_one_number_and_a_table(tmp_path: Path) -> None:
    onnx.save(linear_graph(3, 1, "Sigmoid"), tmp_path / "m.onnx")
    expected = own_answers(tmp_path / "m.onnx", {"x": ROWS.astype(np.float32)}, "y")[:, 0]
    noisy = expected + np.random.default_rng(6).normal(size=len(ROWS)) / 4 > 0.5
    artifact = adopted(write_network_spec(tmp_path, "m.onnx", data=with_table(tmp_path, "kind", noisy.astype(int))))
    assert isinstance(artifact.contract.output, Classification)
    assert artifact.contract.output.labels == ("0", "1")
    assert np.allclose(probabilities(artifact, TABLE.to_dicts())[:, 1], expected, atol=1e-6)

"""Models whose fields hold many numbers, written by hand, with the answers of ONNX Runtime itself."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from model_deployer.contract import artifact
from model_deployer.contract.artifact import Manifest, Provenance, write_json
from model_deployer.contract.contract import Contract, Limits
from model_deployer.contract.features import Numeric, Vector
from model_deployer.contract.outputs import Classification
from model_deployer.training.data.request_rows import frame_of_requests
from model_deployer.training.export.export import graph_predictor
from model_deployer.training.export.golden import lines, write_golden
from model_deployer.training.export.metadata import describe
from model_deployer.training.export.reference import reference

LENGTH = 8

LABELS = ("cat", "dog", "fish")

EMBEDDING = Vector(
    name="embedding", length=LENGTH, missing="impute", example=(0.5, -0.25, 1, 0, 0.125, 3.75, -2, 0.1),
    description="The embedding of the text.",
)  # fmt: skip

TOKENS = Vector(
    name="tokens", length=4, integers=True, minimum=0, maximum=9, required=False, missing="impute", example=(1, 2, 0, 0)
)

#: An embedding, tokens and a number.
CONTRACT = Contract(
    features=(EMBEDDING, TOKENS, Numeric(name="age", missing="impute", required=False, example=3.5)),
    output=Classification(target="animal", labels=LABELS, set_threshold=0.1),
    limits=Limits(rows=600, body_bytes=1_000_000, timeout_seconds=10),
)

#: An embedding alone.
ONE_VECTOR = CONTRACT.model_copy(update={"features": (EMBEDDING,)})


def vector_graph(contract: Contract) -> onnx.ModelProto:
    """Return a graph of the probabilities: each field in float32, times a matrix, then softmax. Missing counts as 0."""
    random = np.random.default_rng(0)
    nodes, terms, constants = [], [], [helper.make_tensor("_zero", TensorProto.DOUBLE, [1], [0.0])]
    for index, feature in enumerate(contract.features):
        weights = random.normal(size=(feature.elements, len(LABELS))).astype(np.float32)
        constants.append(numpy_helper.from_array(weights, f"_weights{index}"))
        nodes += [
            helper.make_node("IsNaN", [feature.name], [f"_nan{index}"]),
            helper.make_node("Where", [f"_nan{index}", "_zero", feature.name], [f"_value{index}"]),
            helper.make_node("Cast", [f"_value{index}"], [f"_float{index}"], to=TensorProto.FLOAT),
            helper.make_node("MatMul", [f"_float{index}", f"_weights{index}"], [f"_term{index}"]),
        ]
        terms.append(f"_term{index}")
    nodes += [
        helper.make_node("Sum", terms, ["_logits"]),
        helper.make_node("Softmax", ["_logits"], ["probabilities"], axis=1),
    ]
    inputs = [
        helper.make_tensor_value_info(feature.name, TensorProto.DOUBLE, ["rows", *feature.shape])
        for feature in contract.features
    ]
    outputs = [helper.make_tensor_value_info("probabilities", TensorProto.FLOAT, ["rows", len(LABELS)])]
    graph = helper.make_graph(nodes, "vectors", inputs, outputs, constants)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)


def vector_rows(contract: Contract, count: int) -> list[dict[str, Any]]:
    """Return random rows; some have no value in a field that may be null."""
    random = np.random.default_rng(1)
    rows = []
    for number in range(count):
        row: dict[str, Any] = {"embedding": random.normal(size=LENGTH).astype(np.float32).tolist()}
        row |= {"tokens": random.integers(0, 10, 4).tolist(), "age": round(float(random.normal()), 3)}
        if number % 5 == 4:
            row["embedding"] = None
        if number % 7 == 3:
            row |= {"tokens": None, "age": None}
        rows.append({name: row[name] for name in contract.names})
    return rows


def write_vectors(folder: Path, contract: Contract = CONTRACT) -> Manifest:
    """Write the files of the model, named "served", into ``folder`` and seal them."""
    return write(folder, contract, vector_graph(contract), vector_rows(contract, 50))


def write(folder: Path, contract: Contract, graph: onnx.ModelProto, rows: Sequence[Mapping[str, Any]]) -> Manifest:
    """Write the files of a model as a training or an adoption does, and seal them.

    Args:
        folder: The folder, which is created if it does not exist.
        contract: The contract of the model.
        graph: Its graph.
        rows: Rows of requests in place of a table.
    """
    folder.mkdir(parents=True, exist_ok=True)
    manifest = Manifest(
        name="served", version="1.0.0", created=datetime(2024, 1, 1, tzinfo=UTC), tolerance=1e-5,
        origin=Provenance(data_version="sha256:0", seed=0, python="3", libraries={}),
    )  # fmt: skip
    describe(graph, contract, manifest)
    predict, frame = graph_predictor(graph), frame_of_requests(contract.features, [dict(row) for row in rows])
    (folder / artifact.MODEL).write_bytes(graph.SerializeToString(deterministic=True))
    write_json(folder / artifact.CONTRACT, contract.model_dump(mode="json"))
    write_json(folder / artifact.EVALUATION, {"task": contract.output.task, "metrics": {}})
    write_json(folder / artifact.REFERENCE, reference(contract.features, frame, predict(frame)).to_json())
    golden = lines(write_golden(contract, frame, predict))
    (folder / artifact.GOLDEN).write_text(golden, encoding="utf-8")
    return artifact.seal(folder, manifest)


def answers(folder: Path, arrays: Mapping[str, NDArray[Any]]) -> NDArray[np.float32]:
    """Return the probabilities of the model in ``folder`` from ONNX Runtime itself, float32 [rows, labels]."""
    session = onnxruntime.InferenceSession(folder / artifact.MODEL)
    (probabilities,) = session.run(["probabilities"], dict(arrays))
    return np.asarray(probabilities)


def vector_arrays(contract: Contract, rows: Sequence[Mapping[str, Any]]) -> dict[str, NDArray[np.float64]]:
    """Return the inputs of the graph for rows, by hand: float64 [rows, *shape], NaN for missing."""
    return {
        feature.name: np.array(
            [[np.nan] * feature.elements if row[feature.name] is None else np.ravel(row[feature.name]) for row in rows],
            np.float64,
        )
        for feature in contract.features
    }

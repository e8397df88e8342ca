"""The model of the serving benchmark: twelve numbers, two hidden layers of 256, two classes; random weights."""

import json
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
from onnx import ModelProto, NodeProto, TensorProto, ValueInfoProto, helper, numpy_helper

from model_deployer.contract import artifact, store
from model_deployer.contract.artifact import Manifest, Provenance, write_json
from model_deployer.contract.contract import Contract
from model_deployer.contract.evaluation import Evaluation
from model_deployer.contract.features import Numeric
from model_deployer.contract.outputs import Classification
from model_deployer.contract.reference import NumberDistribution, Reference

WIDTH = 256
NAMES = [f"x{index}" for index in range(12)]
ROW = {name: round(0.1 * index - 0.5, 1) for index, name in enumerate(NAMES)}

CONTRACT = Contract(
    features=tuple(
        Numeric(name=name, minimum=-5, maximum=5, out_of_range="reject", example=ROW[name]) for name in NAMES
    ),
    output=Classification(target="y", labels=("no", "yes"), positive="yes", threshold=0.5),
)


def matrix_graph() -> ModelProto:
    """Return the graph for the other servers, with one input ``x`` float32 [rows, 12]."""
    return _model([helper.make_tensor_value_info("x", TensorProto.FLOAT, ["rows", 12])], [])


def features_graph() -> ModelProto:
    """Return the same graph for our server, with one input float64 [rows, 1] per feature."""
    inputs = [helper.make_tensor_value_info(name, TensorProto.DOUBLE, ["rows", 1]) for name in NAMES]
    input_nodes = [
        helper.make_node("Concat", NAMES, ["numbers"], axis=1),
        helper.make_node("Cast", ["numbers"], ["x"], to=TensorProto.FLOAT),
    ]
    return _model(inputs, input_nodes)


def save_model(folder: Path) -> str:
    """Save the model in the store of BENTOML_HOME, and return its tag."""
    folder.mkdir(parents=True)
    onnx.save(features_graph(), folder / artifact.MODEL)
    write_json(folder / artifact.CONTRACT, CONTRACT.model_dump(mode="json"))
    write_json(folder / artifact.EVALUATION, Evaluation(task="classification", metrics={}).to_json())
    distribution = NumberDistribution(quantiles=tuple(np.linspace(-1, 1, 21).tolist()))
    reference = Reference(features=dict.fromkeys(NAMES, distribution), predictions={"probabilities[1]": distribution})
    write_json(folder / artifact.REFERENCE, reference.to_json())
    session = onnxruntime.InferenceSession(matrix_graph().SerializeToString())
    (probabilities,) = session.run(None, {"x": np.array([list(ROW.values())], dtype=np.float32)})
    (prediction,) = CONTRACT.output.predictions({"probabilities": probabilities})
    golden = {"case": "example", "row": ROW, "prediction": prediction}
    (folder / artifact.GOLDEN).write_text(json.dumps(golden) + "\n")
    manifest = Manifest(
        name="benchmark",
        version="1.0.0",
        created=datetime.now(UTC),
        tolerance=1e-5,
        origin=Provenance(data_version="none", seed=0, python="", libraries={}),
    )
    return store.save(folder, artifact.seal(folder, manifest))


def _model(inputs: list[ValueInfoProto], input_nodes: list[NodeProto]) -> ModelProto:
    random = np.random.default_rng(0)
    weights, nodes, source = [], [*input_nodes], "x"
    for index, (rows, columns) in enumerate([(12, WIDTH), (WIDTH, WIDTH), (WIDTH, 2)]):
        matrix = random.normal(scale=rows**-0.5, size=(rows, columns)).astype(np.float32)
        weights.append(numpy_helper.from_array(matrix, f"w{index}"))
        nodes.append(helper.make_node("MatMul", [source, f"w{index}"], [f"z{index}"]))
        source = f"h{index}"
        nodes.append(helper.make_node("Relu", [f"z{index}"], [source]))
    nodes[-1] = helper.make_node("Softmax", ["z2"], ["probabilities"], axis=1)
    output = helper.make_tensor_value_info("probabilities", TensorProto.FLOAT, ["rows", 2])
    graph = helper.make_graph(nodes, "mlp", inputs, [output], weights)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)

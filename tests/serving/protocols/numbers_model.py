"""A regression whose fields are all numbers, so that one tensor may hold all of them."""

import json
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from model_deployer.contract.artifact import Manifest
from model_deployer.contract.contract import Contract, Limits
from model_deployer.contract.features import Integer, Numeric
from model_deployer.contract.outputs import Regression
from tests.support import tiny
from tests.support.servers import write_tiny

CONTRACT = Contract(
    features=(
        Numeric(name="distance", example=733.5),
        Numeric(name="temp", required=False, missing="impute", example=51.1),
        Integer(name="seats", example=149),
    ),
    output=Regression(target="delay"),
    limits=Limits(rows=100, body_bytes=100_000, timeout_seconds=10),
)


def write(folder: Path, contract: Contract) -> Manifest:
    """Write the files of the model."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tiny, "graph", _regression)
        patch.setattr(tiny, "_write_golden", _write_golden)
        return write_tiny(folder, contract)


def _regression(contract: Contract, opposite: bool) -> onnx.ModelProto:
    """Return a graph with the distance in thousands; the ends are the temperature, or 1 without one, and the seats."""
    names = {"distance": "value", "temp": "lower", "seats": "upper"}
    nodes = [helper.make_node("IsNaN", ["temp"], ["_nan"]), helper.make_node("Where", ["_nan", "_one", "temp"], ["_t"])]
    for name, output in names.items():
        nodes += [
            helper.make_node("Div", ["_t" if name == "temp" else name, "_thousand"], [f"_{output}"]),
            helper.make_node("Cast", [f"_{output}"], [output], to=TensorProto.FLOAT),
        ]
    constants = [
        helper.make_tensor(f"_{name}", TensorProto.DOUBLE, [1], [number])
        for name, number in (("one", 1.0), ("thousand", 1000.0))
    ]
    inputs = [helper.make_tensor_value_info(name, TensorProto.DOUBLE, ["rows", 1]) for name in names]
    outputs = [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["rows", 1]) for name in names.values()]
    graph = helper.make_graph(nodes, "numbers", inputs, outputs, constants)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)


def _write_golden(folder: Path, contract: Contract) -> None:
    answer = {
        name: float(np.float32(number / 1000))
        for name, number in zip(("value", "lower", "upper"), contract.example().values(), strict=True)
    }
    line = json.dumps({"case": "example", "row": contract.example(), "prediction": answer})
    (folder / "golden.jsonl").write_text(line + "\n", encoding="utf-8")

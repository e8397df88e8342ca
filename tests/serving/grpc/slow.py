"""The tiny model, but it takes its time: of each row, one millisecond for each mile beyond 4,000."""

import time

import onnx
import onnxruntime
from onnx import TensorProto, helper

from model_deployer.contract.contract import Contract
from tests.support import tiny

_plain = tiny.graph

#: Milliseconds of every row: two of them are then no work of a moment, and run in a thread.
_LEAST = 1.0


def graph(contract: Contract, opposite: bool = False) -> onnx.ModelProto:
    """What tiny.graph makes, with turns of a loop that add nothing to the answer."""
    model = _plain(contract, opposite)
    for node in model.graph.node:
        if node.output[0] == "_logit":
            node.output[0] = "_quick"
    place = next(place for place, node in enumerate(model.graph.node) if node.input[0] == "_logit")
    nodes = [
        helper.make_node("Sub", ["distance", "_free"], ["_beyond"]),
        helper.make_node("Max", ["_beyond", "_least"], ["_milliseconds"]),
        helper.make_node("ReduceSum", ["_milliseconds"], ["_sum"], keepdims=0),
        helper.make_node("Mul", ["_sum", "_pace"], ["_count"]),
        helper.make_node("Cast", ["_count"], ["_turns"], to=TensorProto.INT64),
        _loop(),
        helper.make_node("Add", ["_quick", "_nothing"], ["_logit"]),
    ]
    for node in reversed(nodes):
        model.graph.node.insert(place, node)
    for name, number in (("_free", 4_000.0), ("_least", _LEAST), ("_pace", _turns_a_millisecond())):
        model.graph.initializer.append(helper.make_tensor(name, TensorProto.DOUBLE, [], [number]))
    model.graph.initializer.append(helper.make_tensor("_start", TensorProto.FLOAT, [1], [0.0]))
    return model


def _loop() -> onnx.NodeProto:
    """So many times the sine of nothing."""
    nodes = [helper.make_node("Identity", ["on"], ["on_"]), helper.make_node("Sin", ["x"], ["x_"])]
    value = helper.make_tensor_value_info
    inputs = [
        value("turn", TensorProto.INT64, []),
        value("on", TensorProto.BOOL, []),
        value("x", TensorProto.FLOAT, [1]),
    ]
    outputs = [value("on_", TensorProto.BOOL, []), value("x_", TensorProto.FLOAT, [1])]
    return helper.make_node(
        "Loop", ["_turns", "", "_start"], ["_nothing"], body=helper.make_graph(nodes, "turn", inputs, outputs)
    )


def _turns_a_millisecond() -> float:
    """On this machine."""
    turns = 20_000
    described = helper.make_graph(
        [_loop()],
        "loop",
        [],
        [helper.make_tensor_value_info("_nothing", TensorProto.FLOAT, [1])],
        [
            helper.make_tensor("_turns", TensorProto.INT64, [], [turns]),
            helper.make_tensor("_start", TensorProto.FLOAT, [1], [0.0]),
        ],
    )
    model = helper.make_model(described, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    session = onnxruntime.InferenceSession(model.SerializeToString())

    def seconds() -> float:
        began = time.perf_counter()
        session.run(None, {})
        return time.perf_counter() - began

    return turns / (1_000 * min(seconds() for _ in range(10)))

"""A slow version of the tiny model: each row takes one millisecond per mile of distance above 4,000."""

import time

import onnx
import onnxruntime
from onnx import TensorProto, helper

from model_deployer.contract.contract import Contract
from tests.support import tiny

_tiny_graph = tiny.graph

#: The minimum duration of a row: so two rows are too slow for the event loop, and run in a thread.
_MIN_MILLISECONDS = 1.0


def graph(contract: Contract, opposite: bool = False) -> onnx.ModelProto:
    """Return the graph of tiny.graph with a loop that takes time and adds zero to the answer."""
    model = _tiny_graph(contract, opposite)
    for node in model.graph.node:
        if node.output[0] == "_logit":
            node.output[0] = "_fast_logit"
    position = next(index for index, node in enumerate(model.graph.node) if node.input[0] == "_logit")
    nodes = [
        helper.make_node("Sub", ["distance", "_free_miles"], ["_excess"]),
        helper.make_node("Max", ["_excess", "_minimum"], ["_milliseconds"]),
        helper.make_node("ReduceSum", ["_milliseconds"], ["_sum"], keepdims=0),
        helper.make_node("Mul", ["_sum", "_iterations_per_millisecond"], ["_count"]),
        helper.make_node("Cast", ["_count"], ["_iterations"], to=TensorProto.INT64),
        _loop(),
        helper.make_node("Add", ["_fast_logit", "_delay_result"], ["_logit"]),
    ]
    for node in reversed(nodes):
        model.graph.node.insert(position, node)
    constants = {
        "_free_miles": 4_000.0,
        "_minimum": _MIN_MILLISECONDS,
        "_iterations_per_millisecond": _iterations_per_millisecond(),
    }
    for name, number in constants.items():
        model.graph.initializer.append(helper.make_tensor(name, TensorProto.DOUBLE, [], [number]))
    model.graph.initializer.append(helper.make_tensor("_start", TensorProto.FLOAT, [1], [0.0]))
    return model


def _loop() -> onnx.NodeProto:
    """Return a loop that computes the sine of zero in each iteration."""
    nodes = [helper.make_node("Identity", ["on"], ["on_"]), helper.make_node("Sin", ["x"], ["x_"])]
    value = helper.make_tensor_value_info
    inputs = [
        value("iteration", TensorProto.INT64, []),
        value("on", TensorProto.BOOL, []),
        value("x", TensorProto.FLOAT, [1]),
    ]
    outputs = [value("on_", TensorProto.BOOL, []), value("x_", TensorProto.FLOAT, [1])]
    return helper.make_node(
        "Loop",
        ["_iterations", "", "_start"],
        ["_delay_result"],
        body=helper.make_graph(nodes, "iteration", inputs, outputs),
    )


def _iterations_per_millisecond() -> float:
    """Measure the loop on this machine."""
    iterations = 20_000
    loop_graph = helper.make_graph(
        [_loop()],
        "loop",
        [],
        [helper.make_tensor_value_info("_delay_result", TensorProto.FLOAT, [1])],
        [
            helper.make_tensor("_iterations", TensorProto.INT64, [], [iterations]),
            helper.make_tensor("_start", TensorProto.FLOAT, [1], [0.0]),
        ],
    )
    model = helper.make_model(loop_graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    session = onnxruntime.InferenceSession(model.SerializeToString())

    def seconds() -> float:
        start = time.perf_counter()
        session.run(None, {})
        return time.perf_counter() - start

    return iterations / (1_000 * min(seconds() for _ in range(10)))

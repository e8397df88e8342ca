"""Small handwritten models of any contract, and the sample requests of their servers."""

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import onnx
import onnxruntime
from onnx import TensorProto, helper

from model_deployer.contract import artifact
from model_deployer.contract.artifact import Manifest, Provenance
from model_deployer.contract.contract import Contract, Limits
from model_deployer.contract.features import Boolean, Categorical, Datetime, Integer, Numeric, Text
from model_deployer.contract.outputs import Classification, Regression
from model_deployer.serving.rows.columns import ColumnBuilder
from model_deployer.serving.rows.validation import Validator

#: Text that ends a comment or a string in at least one of the languages.
ODD = 'He said "yes", it\'s */ <b>&</b> {@x} \\u000a \\ ${x} #{y} """ ?> @z `w` \u202e \n second line'

HOSTILE = (
    Numeric(name="class", description=ODD, minimum=0, maximum=5000, out_of_range="reject", example=0.1),
    Numeric(name="Class", required=False, missing="impute", unit=ODD, example=5e-324),
    Numeric(name="a,b", missing="impute", minimum=-1.5, maximum=1e300),
    Numeric(name='quo"te\\', example=1e22),
    Integer(name="2nd room", minimum=-(2**53), maximum=2**53, example=2**53),
    Integer(name="toString", required=False, missing="impute"),
    Boolean(name="日本", required=False, missing="impute", example=True),
    Boolean(name="-"),
    Categorical(name="Price (€)", categories=(ODD, "b", "${x}"), unknown="reject", example=ODD),
    Categorical(name="price", missing="impute", categories=("a", "*/")),
    Categorical(name="__proto__", required=False, missing="impute", example="\x00\x1f\x7f\u2028😀"),
    Datetime(name="self", example="2013-11-01T17:05:00"),
    Datetime(name="${x}#{y}", zoned=True, required=False, missing="impute"),
    Text(name="*/ ?> END", required=False, missing="impute", longest=200, example="END"),
    Text(name="rows", required=False, missing="impute"),
)

LIMITS = Limits(rows=100, body_bytes=100_000, timeout_seconds=20)

REGRESSION = Contract(features=HOSTILE, output=Regression(target="y", unit=ODD), limits=LIMITS)

LABELS = (ODD, "0", "1", "__proto__", "b`\\", "日本", "decision")

MANY = Contract(features=HOSTILE, output=Classification(target=ODD, labels=LABELS, set_threshold=0.05), limits=LIMITS)


def manifest(name: str = "served") -> Manifest:
    """The manifest of the model in a package."""
    return Manifest(
        name=name,
        version="1.0.0",
        created=datetime(2024, 1, 1, tzinfo=UTC),
        tolerance=1e-5,
        origin=Provenance(data_version="sha256:0", seed=0, python="3", libraries={}),
    )


def write(folder: Path, contract: Contract) -> Manifest:
    """Write the files of a model into ``folder`` and seal them."""
    folder.mkdir(parents=True)
    onnx.save(_graph(contract), folder / artifact.MODEL)
    artifact.write_json(folder / artifact.CONTRACT, contract.model_dump(mode="json"))
    artifact.write_json(folder / artifact.EVALUATION, {"task": contract.output.task, "metrics": {}})
    row = full_row(contract)
    columns = ColumnBuilder(contract.features)(Validator(contract).rows(json.dumps({"rows": [row]}).encode()))
    session = onnxruntime.InferenceSession(folder / artifact.MODEL)
    outputs = dict(zip(contract.output.tensors, session.run(None, dict(columns)), strict=True))
    golden = {"case": "full", "row": row, "prediction": contract.output.predictions(outputs)[0]}
    (folder / artifact.GOLDEN).write_text(json.dumps(golden) + "\n")
    return artifact.seal(folder, manifest())


def _graph(contract: Contract) -> onnx.ModelProto:
    """Return a graph whose output depends on the sum of its inputs, scaled to small numbers; texts are looked up."""
    nodes, terms = [], []
    for index, feature in enumerate(contract.features):
        term = f"_term{index}"
        if feature.dtype == "string":
            encoder: dict[str, Any] = {"keys_strings": ["", "b"], "values_floats": [0.0, -0.7], "default_float": 0.3}
            nodes.append(helper.make_node("LabelEncoder", [feature.name], [term], domain="ai.onnx.ml", **encoder))
        else:
            nodes += [
                helper.make_node("IsNaN", [feature.name], [f"_nan{index}"]),
                helper.make_node("Where", [f"_nan{index}", "_zero", feature.name], [f"_value{index}"]),
                helper.make_node("Cast", [f"_value{index}"], [f"_float{index}"], to=TensorProto.FLOAT),
                helper.make_node("Tanh", [f"_float{index}"], [term]),
            ]
        terms.append(term)
    nodes.append(helper.make_node("Sum", terms, ["_sum"]))
    constants = [helper.make_tensor("_zero", TensorProto.DOUBLE, [1], [0.0])]
    output = contract.output
    if isinstance(output, Classification):
        weights = [0.1 * step for step in range(len(output.labels))]
        constants.append(helper.make_tensor("_weights", TensorProto.FLOAT, [1, len(weights)], weights))
        nodes.append(helper.make_node("MatMul", ["_sum", "_weights"], ["_logits"]))
        nodes.append(helper.make_node("Softmax", ["_logits"], ["probabilities"], axis=1))
    else:
        weights = [1e3]
        constants.append(helper.make_tensor("_one", TensorProto.FLOAT, [1], [1.0]))
        nodes.append(helper.make_node("Identity", ["_sum"], ["value"]))
        nodes.append(helper.make_node("Sub", ["_sum", "_one"], ["lower"]))
        nodes.append(helper.make_node("Add", ["_sum", "_one"], ["upper"]))
    types = {"float64": TensorProto.DOUBLE, "string": TensorProto.STRING}
    inputs = [
        helper.make_tensor_value_info(feature.name, types[feature.dtype], ["rows", 1]) for feature in contract.features
    ]
    outputs = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, ["rows", len(weights)]) for name in output.tensors
    ]
    opsets = [helper.make_opsetid("", 20), helper.make_opsetid("ai.onnx.ml", 4)]
    graph = helper.make_graph(nodes, "any", inputs, outputs, constants)
    return helper.make_model(graph, opset_imports=opsets, ir_version=10)


def full_row(contract: Contract) -> dict[str, Any]:
    """A row with every field that has an example or is required."""
    values = {"numeric": 0.5, "integer": 3, "boolean": False, "datetime": "2020-02-29T12:00:00", "text": "t"}
    required = {
        feature.name: None if feature.nullable else values.get(feature.kind, "b")
        for feature in contract.features
        if feature.required
    }
    return required | contract.example()


def samples(url: str, contract: Contract) -> dict[str, Any]:
    """The content of sample_requests.json, with the answers of this server."""
    row = full_row(contract)
    nulls = row | {feature.name: None for feature in contract.features if feature.nullable}
    minimal = {name: value for name, value in row.items() if name in contract.row_schema()["required"]}
    numbers = [feature.name for feature in contract.features if isinstance(feature, Integer)]
    floats = row | dict.fromkeys(numbers, 3.0)
    golden = [_send(url, "ordinary", {"rows": [row]}), _send(url, "several", {"rows": [row, nulls, minimal] * 3})]
    edge = [
        _send(url, "one bare row", row),
        _send(url, "whole numbers with a point", {"rows": [floats]}),
        _send(url, "as text", body=json.dumps({"rows": [row]}, indent=4)),
        _send(url, "columns", {"columns": {name: [value] for name, value in row.items()}}),
        _send(url, "an id", {"rows": [row]}, headers={"X-Request-ID": "mine"}),
    ]
    invalid = [
        _send(url, "an unknown field", {"rows": [row, row | {"no such field": 1}]}),
        _send(url, "an empty row", {"rows": [{}]}),
        _send(url, "no rows", {"rows": []}),
        _send(url, "invalid JSON", body='{"rows": [{'),
        _send(url, "too many rows", {"rows": [minimal] * (contract.limits.rows + 1)}),
        _send(url, "an invalid header", {"rows": [row]}, headers={"X-Request-Timeout-Ms": "soon"}),
    ]
    assert {sample["status"] for sample in golden + edge} == {200}
    assert {sample["status"] for sample in invalid} == {400, 413, 422}
    model = {"name": "served", "version": "1.0.0"}
    return {"model": model, "tolerance": 1e-5, "golden": golden, "edge": edge, "invalid": invalid}


def _send(
    url: str, case: str, request: Any = None, body: str | None = None, headers: dict[str, str] | None = None
) -> dict[str, Any]:
    content = json.dumps(request) if body is None else body
    all_headers = {"Content-Type": "application/json"} | (headers or {})
    response = httpx.post(f"{url}/predict", content=content, headers=all_headers)
    answer = response.json()
    answer.pop("request_id", None)
    sample = {"case": case, "request": request, "body": body, "headers": headers or {}}
    return sample | {"status": response.status_code, "answer": answer}

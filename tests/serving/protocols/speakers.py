"""Clients of every protocol in each of its forms: from rows to the outputs by name.

A speaker is a function. Its result has ``decision`` (one text per row), ``probabilities`` and ``set`` (one list per
row, in the order of the labels), or ``value``, ``lower`` and ``upper`` (one number per row), if its protocol returns
them.
"""

import csv
import io
import json
import struct
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from typing import Any

import httpx
import numpy as np
import polars as pl

from model_deployer.contract.contract import Contract
from model_deployer.contract.outputs import Classification
from model_deployer.serving.rows.formats import FILE, PARQUET, STREAM
from tests.serving.grpc import tensorflow
from tests.serving.grpc.client import SERVICE, Client, outputs_of
from tests.serving.protocols.served import KEY, PREDICT, Served
from tests.support import tiny

Row = Mapping[str, Any]
Rows = Sequence[Row]
Outputs = dict[str, list[Any]]
Speaker = Callable[[Served, Rows], Outputs]

NAMES = tiny.CONTRACT.names
ARROW = {"distance": pl.Float64, "temp": pl.Float64, "seats": pl.Int64, "holiday": pl.Boolean}
OPEN_INFERENCE = {"distance": "FP64", "temp": "FP64", "seats": "INT64", "holiday": "BOOL"}
WRITERS: Mapping[str, Callable[[pl.DataFrame, io.BytesIO], Any]] = {
    STREAM: pl.DataFrame.write_ipc_stream,
    FILE: pl.DataFrame.write_ipc,
    PARQUET: pl.DataFrame.write_parquet,
}
READERS: Mapping[str, Callable[[io.BytesIO], pl.DataFrame]] = {
    STREAM: pl.read_ipc_stream,
    FILE: pl.read_ipc,
    PARQUET: pl.read_parquet,
}


def to_lists(rows: Rows) -> list[list[Any]]:
    """Return the values of each row in the order of the contract."""
    return [[row.get(name) for name in NAMES] for row in rows]


def columns(rows: Rows) -> dict[str, list[Any]]:
    """Return the values of each field."""
    return {name: [row.get(name) for row in rows] for name in NAMES}


def frame(rows: Rows) -> pl.DataFrame:
    """Return the rows as a table with the types of the fields in Arrow and Parquet."""
    return pl.DataFrame(
        {name: pl.Series(values, dtype=ARROW.get(name, pl.String)) for name, values in columns(rows).items()}
    )


def of_predictions(predictions: Sequence[Mapping[str, Any]], contract: Contract) -> Outputs:
    """Return the outputs from the service's own predictions."""
    if not isinstance(contract.output, Classification):
        return {name: [each[name] for each in predictions] for name in ("value", "lower", "upper")}
    labels = contract.output.labels
    outputs: Outputs = {"decision": [each["decision"] for each in predictions]}
    outputs["probabilities"] = [[each["probabilities"][label] for label in labels] for each in predictions]
    if contract.output.set_threshold is not None:
        outputs["set"] = [[label in each["set"] for label in labels] for each in predictions]
    return outputs


def of_columns(table: Mapping[str, Sequence[Any]]) -> Outputs:
    """Return the outputs from the service's own columns.

    Their names are `decision`, `probabilities.LABEL` and `set.LABEL`, or those of a regression.
    """
    outputs: Outputs = {}
    for name in dict.fromkeys(name.partition(".")[0] for name in table):
        parts = [values for key, values in table.items() if key.partition(".")[0] == name]
        outputs[name] = (
            [list(row) for row in zip(*parts, strict=True)] if name in ("probabilities", "set") else list(parts[0])
        )
    return outputs


def of_csv(text: str, contract: Contract) -> Outputs:
    """Return the outputs from the lines of CSV."""
    lines = list(csv.reader(io.StringIO(text)))
    if not isinstance(contract.output, Classification):
        return dict(
            zip(
                ("value", "lower", "upper"),
                map(list, zip(*(map(float, line) for line in lines), strict=True)),
                strict=True,
            )
        )
    count = len(contract.output.labels)
    outputs: Outputs = {"decision": [line[0] for line in lines]}
    outputs["probabilities"] = [list(map(float, line[1 : count + 1])) for line in lines]
    if contract.output.set_threshold is not None:
        outputs["set"] = [[cell == "true" for cell in line[count + 1 :]] for line in lines]
    return outputs


def post(served: Served, path: str, body: Any, media_type: str = "application/json", **headers: str) -> httpx.Response:
    """Send a request with a key: bytes unchanged, anything else as JSON. Its status must be 200."""
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    all_headers = {"Content-Type": media_type} | {name.replace("_", "-"): value for name, value in headers.items()}
    return served.client.post(path, content=content, headers=all_headers).raise_for_status()


# The native protocol


def native_rows(served: Served, rows: Rows) -> Outputs:
    """Send rows of JSON to the service's own route."""
    return of_predictions(post(served, "/predict", {"rows": list(rows)}).json()["predictions"], served.contract)


def native_columns(served: Served, rows: Rows) -> Outputs:
    """Send columns of JSON to the service's own route."""
    return of_columns(post(served, "/predict", {"columns": columns(rows)}).json()["columns"])


def native_table(media_type: str) -> Speaker:
    """Send an Arrow or Parquet table to the service's own route."""

    def speak(served: Served, rows: Rows) -> Outputs:
        file = io.BytesIO()
        WRITERS[media_type](frame(rows), file)
        answer = post(served, "/predict", file.getvalue(), media_type, accept=media_type)
        return of_columns(READERS[media_type](io.BytesIO(answer.content)).to_dict(as_series=False))

    return speak


# Open Inference Protocol


def tensors(rows: Rows) -> list[dict[str, Any]]:
    """Return a tensor for each field that has a value in any row."""
    return [
        {"name": name, "shape": [len(rows)], "datatype": OPEN_INFERENCE.get(name, "BYTES"), "data": values}
        for name, values in columns(rows).items()
        if any(value is not None for value in values)
    ]


def open_inference_json(served: Served, rows: Rows) -> Outputs:
    """Send tensors with JSON data."""
    answer = post(served, "/v2/models/served/infer", {"inputs": tensors(rows)}).json()
    return {tensor["name"]: np.reshape(tensor["data"], tensor["shape"]).tolist() for tensor in answer["outputs"]}


def open_inference_binary(served: Served, rows: Rows) -> Outputs:
    """Send tensors as bytes, except those with missing values that are not floats: bytes cannot represent them."""
    inputs, blobs = tensors(rows), []
    for tensor in inputs:
        is_float = tensor["datatype"] == "FP64"
        if is_float or None not in tensor["data"]:
            blobs.append(to_bytes(tensor["datatype"], tensor.pop("data")))
            tensor["parameters"] = {"binary_data_size": len(blobs[-1])}
    head = json.dumps({"inputs": inputs, "parameters": {"binary_data_output": True}}).encode()
    length = {"Inference-Header-Content-Length": str(len(head))}
    answer = post(served, "/v2/models/served/versions/1.0.0/infer", b"".join([head, *blobs]), **length)
    offset = int(answer.headers["inference-header-content-length"])
    outputs: Outputs = {}
    for tensor in json.loads(answer.content[:offset])["outputs"]:
        blob = answer.content[offset : (offset := offset + tensor["parameters"]["binary_data_size"])]
        outputs[tensor["name"]] = from_bytes(tensor["datatype"], blob, tensor["shape"])
    return outputs


def to_bytes(datatype: str, values: Sequence[Any]) -> bytes:
    """Return little-endian numbers, or strings after their lengths."""
    if datatype == "BYTES":
        return b"".join(struct.pack("<I", len(text)) + text for text in map(str.encode, values))
    return np.array([np.nan if value is None else value for value in values], DTYPES[datatype]).tobytes()


def from_bytes(datatype: str, blob: bytes, shape: Sequence[int]) -> list[Any]:
    """Return the values of a tensor from its bytes; the inverse of :func:`to_bytes`."""
    if datatype != "BYTES":
        numbers: list[Any] = np.frombuffer(blob, DTYPES[datatype]).reshape(shape).tolist()
        return numbers
    texts = []
    while blob:
        (length,) = struct.unpack_from("<I", blob)
        texts.append(blob[4 : 4 + length].decode())
        blob = blob[4 + length :]
    return texts


def open_inference_grpc(is_raw: bool) -> Speaker:
    """Send one call per row, without the missing values."""

    def speak(served: Served, rows: Rows) -> Outputs:
        client = _grpc_client(served.grpc_port)
        outputs: Outputs = {}
        for row in rows:
            present = {name: value for name, value in row.items() if value is not None}
            answer = client.start("ModelInfer", client.infer([present], is_raw=is_raw)).result()
            for name, values in outputs_of(answer).items():
                outputs.setdefault(name, []).extend(values)
        return outputs

    return speak


@cache
def _grpc_client(port: int, service: str = SERVICE) -> Client:
    return Client(port, service, x_api_key=KEY)


TORCHSERVE = "org.pytorch.serve.grpc.inference.InferenceAPIsService"

DTYPES = {"FP64": "<f8", "FP32": "<f4", "INT64": "<i8", "BOOL": "?"}

# TensorFlow Serving, and KServe's first protocol


def tensorflow_rows(served: Served, rows: Rows) -> Outputs:
    """Send instances, which are rows."""
    answer = post(served, "/v1/models/served:predict", {"instances": list(rows)}).json()["predictions"]
    return {name: [each[name] for each in answer] for name in answer[0]}


def tensorflow_columns(served: Served, rows: Rows) -> Outputs:
    """Send inputs, which are columns."""
    outputs: Outputs = post(served, "/v1/models/served:predict", {"inputs": columns(rows)}).json()["outputs"]
    return outputs


def tensorflow_examples(served: Served, rows: Rows) -> Outputs:
    """Send examples to the verbs classify and regress."""
    is_classification = isinstance(served.contract.output, Classification)
    verb = "classify" if is_classification else "regress"
    results = post(served, f"/v1/models/served:{verb}", {"examples": list(rows)}).json()["results"]
    return (
        {"probabilities": [[pair[1] for pair in row] for row in results]} if is_classification else {"value": results}
    )


def kserve(served: Served, rows: Rows) -> Outputs:
    """Send KServe's version 1: instances that are lists of values."""
    answer = post(served, "/v1/models/served:predict", {"instances": to_lists(rows)}).json()["predictions"]
    return {name: [each[name] for each in answer] for name in answer[0]}


def tensorflow_grpc(is_content: bool) -> Speaker:
    """Send one call per row, without the missing values."""

    def speak(served: Served, rows: Rows) -> Outputs:
        client = _grpc_client(served.grpc_port, tensorflow.SERVICE)
        outputs: Outputs = {}
        for row in rows:
            message = tensorflow.predict(client, [{k: v for k, v in row.items() if v is not None}], is_content)
            for name, values in tensorflow.outputs_of(client.start("Predict", message).result()).items():
                outputs.setdefault(name, []).extend(values)
        return outputs

    return speak


# SageMaker and MLflow


def invocations(key: str, table: Callable[[Rows], Any]) -> Speaker:
    """Send JSON of MLflow or SageMaker, with the table under ``key``."""

    def speak(served: Served, rows: Rows) -> Outputs:
        answer = post(served, "/invocations", {key: table(rows)}, accept="application/json")
        return of_predictions(answer.json()["predictions"], served.contract)

    return speak


def invocations_lines(served: Served, rows: Rows) -> Outputs:
    """Send JSON Lines, one line per row."""
    lines = "application/jsonlines"
    answer = post(served, "/invocations", "\n".join(map(json.dumps, rows)).encode(), lines, accept=lines)
    return of_predictions([json.loads(line) for line in answer.text.splitlines()], served.contract)


def invocations_csv(has_header: bool) -> Speaker:
    """Send CSV with or without a header."""

    def speak(served: Served, rows: Rows) -> Outputs:
        file = io.StringIO()
        csv.writer(file).writerows([NAMES] * has_header + to_lists(rows))
        answer = post(served, "/invocations", file.getvalue().encode(), "text/csv", accept="text/csv")
        return of_csv(answer.text, served.contract)

    return speak


def invocations_parquet(served: Served, rows: Rows) -> Outputs:
    """Send a Parquet file."""
    file = io.BytesIO()
    frame(rows).write_parquet(file)
    answer = post(served, "/invocations", file.getvalue(), PARQUET, accept="application/json")
    return of_predictions(answer.json()["predictions"], served.contract)


# The others


def vertex(served: Served, rows: Rows) -> Outputs:
    """Send instances of Vertex AI."""
    answer = post(served, PREDICT, {"instances": list(rows)}).json()["predictions"]
    return of_predictions(answer, served.contract)


def azure(served: Served, rows: Rows) -> Outputs:
    """Send rows of Azure ML, under ``data``."""
    return of_predictions(post(served, "/score", {"data": list(rows)}).json(), served.contract)


def azure_split(served: Served, rows: Rows) -> Outputs:
    """Send a pandas table in Azure ML's form, under ``input_data``."""
    table = {"columns": NAMES, "index": list(range(len(rows))), "data": to_lists(rows)}
    return of_predictions(post(served, "/score", {"input_data": table}).json(), served.contract)


def torchserve(served: Served, rows: Rows) -> Outputs:
    """Send a list of rows to TorchServe's route."""
    return of_predictions(post(served, "/predictions/served", list(rows)).json(), served.contract)


def torchserve_form(served: Served, rows: Rows) -> Outputs:
    """Send one file per row, as TorchServe's clients send images."""
    files = [("data", json.dumps(row)) for row in rows]
    answer = served.client.post("/predictions/served/1.0.0", files=files).raise_for_status().json()
    return of_predictions(answer if isinstance(answer, list) else [answer], served.contract)


def torchserve_grpc(served: Served, rows: Rows) -> Outputs:
    """Send a list of rows as JSON over gRPC."""
    client = _grpc_client(served.grpc_port, TORCHSERVE)
    answer = client.call("Predictions", model_name="served", input={"data": json.dumps(list(rows)).encode()})
    return of_predictions(json.loads(answer.prediction), served.contract)


SPEAKERS: Mapping[str, Speaker] = {
    "native rows": native_rows,
    "native columns": native_columns,
    "Arrow stream": native_table(STREAM),
    "Arrow file": native_table(FILE),
    "Parquet": native_table(PARQUET),
    "Open Inference, JSON": open_inference_json,
    "Open Inference, binary": open_inference_binary,
    "Open Inference, gRPC": open_inference_grpc(is_raw=False),
    "Open Inference, gRPC raw": open_inference_grpc(is_raw=True),
    "TensorFlow Serving, rows": tensorflow_rows,
    "TensorFlow Serving, columns": tensorflow_columns,
    "TensorFlow Serving, examples": tensorflow_examples,
    "TensorFlow Serving, gRPC": tensorflow_grpc(is_content=False),
    "TensorFlow Serving, gRPC content": tensorflow_grpc(is_content=True),
    "KServe v1": kserve,
    "MLflow split": invocations("dataframe_split", lambda rows: {"columns": NAMES, "data": to_lists(rows)}),
    "MLflow records": invocations("dataframe_records", list),
    "MLflow inputs": invocations("inputs", columns),
    "MLflow CSV": invocations_csv(has_header=True),
    "MLflow Parquet": invocations_parquet,
    "SageMaker JSON": invocations("instances", to_lists),
    "SageMaker lines": invocations_lines,
    "SageMaker CSV": invocations_csv(has_header=False),
    "Vertex AI": vertex,
    "Azure ML": azure,
    "Azure ML, split": azure_split,
    "TorchServe": torchserve,
    "TorchServe, form": torchserve_form,
    "TorchServe, gRPC": torchserve_grpc,
}

"""A model asked through each protocol in each of its forms: rows in, the outputs by name out.

A speaker is one function. What it returns holds ``decision`` (a text a row), ``probabilities`` and ``set`` (a list a
row, by the labels), or ``value``, ``lower`` and ``upper`` (a number a row), as far as its protocol tells them.
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
from tests.serving.grpc.client import Client, outputs_of
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


def listed(rows: Rows) -> list[list[Any]]:
    """The values in the order of the contract."""
    return [[row.get(name) for name in NAMES] for row in rows]


def columns(rows: Rows) -> dict[str, list[Any]]:
    """The values of each field."""
    return {name: [row.get(name) for row in rows] for name in NAMES}


def frame(rows: Rows) -> pl.DataFrame:
    """The rows as a table with the types that Arrow and Parquet have for the fields."""
    return pl.DataFrame(
        {name: pl.Series(each, dtype=ARROW.get(name, pl.String)) for name, each in columns(rows).items()}
    )


def of_predictions(predictions: Sequence[Mapping[str, Any]], contract: Contract) -> Outputs:
    """From the service's own predictions."""
    if not isinstance(contract.output, Classification):
        return {name: [each[name] for each in predictions] for name in ("value", "lower", "upper")}
    labels = contract.output.labels
    found: Outputs = {"decision": [each["decision"] for each in predictions]}
    found["probabilities"] = [[each["probabilities"][label] for label in labels] for each in predictions]
    if contract.output.set_threshold is not None:
        found["set"] = [[label in each["set"] for label in labels] for each in predictions]
    return found


def of_columns(table: Mapping[str, Sequence[Any]]) -> Outputs:
    """From the service's own columns: `decision`, `probabilities.LABEL`, `set.LABEL`, or those of a regression."""
    found: Outputs = {}
    for name in dict.fromkeys(name.partition(".")[0] for name in table):
        parts = [each for key, each in table.items() if key.partition(".")[0] == name]
        found[name] = (
            [list(row) for row in zip(*parts, strict=True)] if name in ("probabilities", "set") else list(parts[0])
        )
    return found


def of_csv(text: str, contract: Contract) -> Outputs:
    """From the lines of CSV."""
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
    found: Outputs = {"decision": [line[0] for line in lines]}
    found["probabilities"] = [list(map(float, line[1 : count + 1])) for line in lines]
    if contract.output.set_threshold is not None:
        found["set"] = [[cell == "true" for cell in line[count + 1 :]] for line in lines]
    return found


def post(served: Served, path: str, body: Any, media_type: str = "application/json", **headers: str) -> httpx.Response:
    """Send bytes as they are, or anything else as JSON, with a key; the answer has to be 200."""
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    sent = {"Content-Type": media_type} | {name.replace("_", "-"): value for name, value in headers.items()}
    return served.client.post(path, content=content, headers=sent).raise_for_status()


# The service's own


def native_rows(served: Served, rows: Rows) -> Outputs:
    """Rows of JSON, for the service's own route."""
    return of_predictions(post(served, "/predict", {"rows": list(rows)}).json()["predictions"], served.contract)


def native_columns(served: Served, rows: Rows) -> Outputs:
    """Columns of JSON, for the service's own route."""
    return of_columns(post(served, "/predict", {"columns": columns(rows)}).json()["columns"])


def native_table(media_type: str) -> Speaker:
    """A table of Arrow or Parquet, for the service's own route."""

    def speak(served: Served, rows: Rows) -> Outputs:
        file = io.BytesIO()
        WRITERS[media_type](frame(rows), file)
        answer = post(served, "/predict", file.getvalue(), media_type, accept=media_type)
        return of_columns(READERS[media_type](io.BytesIO(answer.content)).to_dict(as_series=False))

    return speak


# Open Inference Protocol


def tensors(rows: Rows) -> list[dict[str, Any]]:
    """A tensor for each field that any row has a value of."""
    return [
        {"name": name, "shape": [len(rows)], "datatype": OPEN_INFERENCE.get(name, "BYTES"), "data": values}
        for name, values in columns(rows).items()
        if any(value is not None for value in values)
    ]


def open_inference_json(served: Served, rows: Rows) -> Outputs:
    """Tensors whose data are JSON."""
    answer = post(served, "/v2/models/served/infer", {"inputs": tensors(rows)}).json()
    return {each["name"]: np.reshape(each["data"], each["shape"]).tolist() for each in answer["outputs"]}


def open_inference_binary(served: Served, rows: Rows) -> Outputs:
    """Bytes wherever a value that is missing can be said in them, which is in floating-point numbers."""
    inputs, blobs = tensors(rows), []
    for each in inputs:
        is_float = each["datatype"] == "FP64"
        if is_float or None not in each["data"]:
            blobs.append(packed(each["datatype"], each.pop("data")))
            each["parameters"] = {"binary_data_size": len(blobs[-1])}
    head = json.dumps({"inputs": inputs, "parameters": {"binary_data_output": True}}).encode()
    length = {"Inference-Header-Content-Length": str(len(head))}
    answer = post(served, "/v2/models/served/versions/1.0.0/infer", b"".join([head, *blobs]), **length)
    place = int(answer.headers["inference-header-content-length"])
    found: Outputs = {}
    for each in json.loads(answer.content[:place])["outputs"]:
        blob = answer.content[place : (place := place + each["parameters"]["binary_data_size"])]
        found[each["name"]] = unpacked(each["datatype"], blob, each["shape"])
    return found


def packed(datatype: str, values: Sequence[Any]) -> bytes:
    """Little-endian numbers, or strings behind their lengths."""
    if datatype == "BYTES":
        return b"".join(struct.pack("<I", len(text)) + text for text in map(str.encode, values))
    return np.array([np.nan if each is None else each for each in values], KINDS[datatype]).tobytes()


def unpacked(datatype: str, blob: bytes, shape: Sequence[int]) -> list[Any]:
    """The values of a tensor from its bytes; the inverse of :func:`packed`."""
    if datatype != "BYTES":
        found: list[Any] = np.frombuffer(blob, KINDS[datatype]).reshape(shape).tolist()
        return found
    texts = []
    while blob:
        (length,) = struct.unpack_from("<I", blob)
        texts.append(blob[4 : 4 + length].decode())
        blob = blob[4 + length :]
    return texts


def open_inference_grpc(is_raw: bool) -> Speaker:
    """A call a row: what is missing in it is left out."""

    def speak(served: Served, rows: Rows) -> Outputs:
        client = _grpc_client(served.grpc_port)
        found: Outputs = {}
        for row in rows:
            given = {name: value for name, value in row.items() if value is not None}
            answer = client.start("ModelInfer", client.infer([given], is_raw=is_raw)).result()
            for name, values in outputs_of(answer).items():
                found.setdefault(name, []).extend(values)
        return found

    return speak


@cache
def _grpc_client(port: int) -> Client:
    return Client(port, x_api_key=KEY)


KINDS = {"FP64": "<f8", "FP32": "<f4", "INT64": "<i8", "BOOL": "?"}

# TensorFlow Serving, and KServe's first protocol


def tensorflow_rows(served: Served, rows: Rows) -> Outputs:
    """Instances in rows."""
    answer = post(served, "/v1/models/served:predict", {"instances": list(rows)}).json()["predictions"]
    return {name: [each[name] for each in answer] for name in answer[0]}


def tensorflow_columns(served: Served, rows: Rows) -> Outputs:
    """Inputs in columns."""
    outputs: Outputs = post(served, "/v1/models/served:predict", {"inputs": columns(rows)}).json()["outputs"]
    return outputs


def tensorflow_examples(served: Served, rows: Rows) -> Outputs:
    """Examples for the verbs classify and regress."""
    is_classification = isinstance(served.contract.output, Classification)
    verb = "classify" if is_classification else "regress"
    results = post(served, f"/v1/models/served:{verb}", {"examples": list(rows)}).json()["results"]
    return (
        {"probabilities": [[pair[1] for pair in row] for row in results]} if is_classification else {"value": results}
    )


def kserve(served: Served, rows: Rows) -> Outputs:
    """KServe's first protocol: instances that are lists of values."""
    answer = post(served, "/v1/models/served:predict", {"instances": listed(rows)}).json()["predictions"]
    return {name: [each[name] for each in answer] for name in answer[0]}


# SageMaker and MLflow


def invocations(key: str, table: Callable[[Rows], Any]) -> Speaker:
    """JSON of MLflow and SageMaker, with the table under ``key``."""

    def speak(served: Served, rows: Rows) -> Outputs:
        answer = post(served, "/invocations", {key: table(rows)}, accept="application/json")
        return of_predictions(answer.json()["predictions"], served.contract)

    return speak


def invocations_lines(served: Served, rows: Rows) -> Outputs:
    """JSON Lines, a line for each row."""
    lines = "application/jsonlines"
    answer = post(served, "/invocations", "\n".join(map(json.dumps, rows)).encode(), lines, accept=lines)
    return of_predictions([json.loads(line) for line in answer.text.splitlines()], served.contract)


def invocations_csv(has_header: bool) -> Speaker:
    """CSV with or without a header."""

    def speak(served: Served, rows: Rows) -> Outputs:
        file = io.StringIO()
        csv.writer(file).writerows([NAMES] * has_header + listed(rows))
        answer = post(served, "/invocations", file.getvalue().encode(), "text/csv", accept="text/csv")
        return of_csv(answer.text, served.contract)

    return speak


def invocations_parquet(served: Served, rows: Rows) -> Outputs:
    """A Parquet file."""
    file = io.BytesIO()
    frame(rows).write_parquet(file)
    answer = post(served, "/invocations", file.getvalue(), PARQUET, accept="application/json")
    return of_predictions(answer.json()["predictions"], served.contract)


# The others


def vertex(served: Served, rows: Rows) -> Outputs:
    """Instances of Vertex AI."""
    answer = post(served, PREDICT, {"instances": list(rows)}).json()["predictions"]
    return of_predictions(answer, served.contract)


def azure(served: Served, rows: Rows) -> Outputs:
    """Rows of Azure ML, under ``data``."""
    return of_predictions(post(served, "/score", {"data": list(rows)}).json(), served.contract)


def azure_split(served: Served, rows: Rows) -> Outputs:
    """A table of pandas in Azure ML's form, under ``input_data``."""
    table = {"columns": NAMES, "index": list(range(len(rows))), "data": listed(rows)}
    return of_predictions(post(served, "/score", {"input_data": table}).json(), served.contract)


def torchserve(served: Served, rows: Rows) -> Outputs:
    """A list of rows."""
    return of_predictions(post(served, "/predictions/served", list(rows)).json(), served.contract)


def torchserve_form(served: Served, rows: Rows) -> Outputs:
    """A file a row, as TorchServe's clients send images."""
    files = [("data", json.dumps(row)) for row in rows]
    answer = served.client.post("/predictions/served/1.0.0", files=files).raise_for_status().json()
    return of_predictions(answer if isinstance(answer, list) else [answer], served.contract)


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
    "KServe v1": kserve,
    "MLflow split": invocations("dataframe_split", lambda rows: {"columns": NAMES, "data": listed(rows)}),
    "MLflow records": invocations("dataframe_records", list),
    "MLflow inputs": invocations("inputs", columns),
    "MLflow CSV": invocations_csv(has_header=True),
    "MLflow Parquet": invocations_parquet,
    "SageMaker JSON": invocations("instances", listed),
    "SageMaker lines": invocations_lines,
    "SageMaker CSV": invocations_csv(has_header=False),
    "Vertex AI": vertex,
    "Azure ML": azure,
    "Azure ML, split": azure_split,
    "TorchServe": torchserve,
    "TorchServe, form": torchserve_form,
}

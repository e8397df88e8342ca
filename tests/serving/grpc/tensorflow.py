"""Requests and answers of TensorFlow Serving's protocol over gRPC, built as TensorFlow builds them."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from tests.serving.grpc.client import Client

SERVICE = "tensorflow.serving.PredictionService"

#: For each dtype: its number, the list with its values, and the numpy dtype of its content.
DTYPES = {
    "DT_FLOAT": (1, "float_val", "<f4"),
    "DT_DOUBLE": (2, "double_val", "<f8"),
    "DT_INT32": (3, "int_val", "<i4"),
    "DT_UINT8": (4, "int_val", "<u1"),
    "DT_INT16": (5, "int_val", "<i2"),
    "DT_INT8": (6, "int_val", "<i1"),
    "DT_STRING": (7, "string_val", ""),
    "DT_INT64": (9, "int64_val", "<i8"),
    "DT_BOOL": (10, "bool_val", "?"),
    "DT_UINT16": (17, "int_val", "<u2"),
    "DT_HALF": (19, "half_val", "<f2"),
    "DT_UINT32": (22, "uint32_val", "<u4"),
    "DT_UINT64": (23, "uint64_val", "<u8"),
}
NAMES = {number: name for name, (number, _, _) in DTYPES.items()}
BY_TYPE = {float: "DT_DOUBLE", int: "DT_INT64", bool: "DT_BOOL", str: "DT_STRING"}


def predict(client: Client, rows: Sequence[Mapping[str, Any]], is_content: bool = False, **fields: Any) -> Any:
    """Create the request for predictions of rows, with values as content or in lists."""
    message = client.message("Predict", **{"model_spec": {"name": "served"}} | fields)
    for name, value in rows[0].items():
        put(message.inputs[name], BY_TYPE[type(value)], [row[name] for row in rows], is_content)
    return message


def put(tensor: Any, dtype: str, values: Sequence[Any], is_content: bool = False) -> None:
    """Put values into a tensor of the shape [rows, 1]."""
    number, field, content = DTYPES[dtype]
    tensor.Clear()
    tensor.dtype = number
    for size in (len(values), 1):
        tensor.tensor_shape.dim.add(size=size)
    if dtype == "DT_STRING":
        tensor.string_val.extend(value.encode() for value in values)
    elif is_content:
        tensor.tensor_content = np.array(values, content).tobytes()
    elif dtype == "DT_HALF":
        tensor.half_val.extend(np.array(values, content).view("<u2").tolist())
    else:
        getattr(tensor, field).extend(values)


def outputs_of(answer: Any) -> dict[str, list[Any]]:
    """Return the tensors of an answer by name."""
    outputs = {}
    for name, tensor in answer.outputs.items():
        values = list(getattr(tensor, DTYPES[NAMES[tensor.dtype]][1]))
        if values and isinstance(values[0], bytes):
            values = [value.decode() for value in values]
        shape = [dim.size for dim in tensor.tensor_shape.dim]
        assert len(values) == int(np.prod(shape))
        outputs[name] = np.array(values, object).reshape(shape).tolist()
    return outputs


def example(row: Mapping[str, Any]) -> dict[str, Any]:
    """Return a row as an Example: numbers as floats, integers and booleans as integers, texts as bytes."""
    features: dict[str, Any] = {}
    for name, value in row.items():
        if value is None:
            features[name] = {}
        elif isinstance(value, str):
            features[name] = {"bytes_list": {"value": [value.encode()]}}
        elif isinstance(value, float):
            features[name] = {"float_list": {"value": [value]}}
        else:
            features[name] = {"int64_list": {"value": [int(value)]}}
    return {"features": {"feature": features}}

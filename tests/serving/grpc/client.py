"""A gRPC client that learns the service from its reflection alone, as grpcurl does, and uses no file of the project."""

from collections.abc import Mapping, Sequence
from typing import Any

import grpc
import numpy as np
from google.protobuf import descriptor_pool, message_factory
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import ProtoReflectionDescriptorDatabase
from numpy.typing import NDArray

SERVICE = "inference.GRPCInferenceService"

#: For each datatype of an input: the field with typed values, and the numpy dtype of raw values.
TYPED = {"FP64": "fp64_contents", "FP32": "fp32_contents", "INT64": "int64_contents", "BOOL": "bool_contents"}
RAW = {"FP64": "<f8", "FP32": "<f4", "INT64": "<i8", "BOOL": "?"}
DATATYPES = {float: "FP64", int: "INT64", bool: "BOOL", str: "BYTES"}


class Client:
    """A client of a service with its own connection; every call has the ``metadata``."""

    def __init__(self, port: int, service: str = SERVICE, **metadata: str) -> None:
        self.service = service
        self.channel = grpc.insecure_channel(f"127.0.0.1:{port}", options=[("grpc.use_local_subchannel_pool", 1)])
        self.metadata = tuple((name.replace("_", "-"), value) for name, value in metadata.items())
        self.reflection = ProtoReflectionDescriptorDatabase(self.channel)
        pool = descriptor_pool.DescriptorPool(self.reflection)
        self.methods = {method.name: method for method in pool.FindServiceByName(service).methods}

    def message(self, method: str, **fields: Any) -> Any:
        """Create the request message of a method."""
        return message_factory.GetMessageClass(self.methods[method].input_type)(**fields)

    def start(self, method: str, message: Any, seconds: float = 30, **metadata: str) -> grpc.Future:
        """Start a call and return its future."""
        call = self.channel.unary_unary(
            f"/{self.service}/{method}",
            request_serializer=lambda request: request if isinstance(request, bytes) else request.SerializeToString(),
            response_deserializer=message_factory.GetMessageClass(self.methods[method].output_type).FromString,
        )
        call_metadata = tuple((name.replace("_", "-"), value) for name, value in metadata.items())
        return call.future(message, timeout=seconds, metadata=self.metadata + call_metadata)

    def call(self, method: str, **fields: Any) -> Any:
        """Return the response to a call; raises grpc.RpcError if it is refused."""
        return self.start(method, self.message(method, **fields)).result()

    def infer(self, rows: Sequence[Mapping[str, Any]], *, is_raw: bool = True, **fields: Any) -> Any:
        """Create the request message for predictions of rows."""
        message = self.message("ModelInfer", model_name="served", **fields)
        for name, value in rows[0].items():
            datatype = DATATYPES[type(value)]
            add_input(message, name, datatype, [row[name] for row in rows], is_raw=is_raw)
        return message


def refusal(call: grpc.Future) -> tuple[str, str | None]:
    """Return gRPC's status code and the service's error code of a call that is refused."""
    error = call.exception()
    return error.code().name, dict(error.trailing_metadata() or ()).get("x-error-code")


def add_input(message: Any, name: str, datatype: str, values: Sequence[Any], *, is_raw: bool) -> None:
    """Add an input and its values to a request message."""
    tensor = message.inputs.add(name=name, datatype=datatype, shape=[len(values), 1])
    if datatype == "BYTES":
        texts = [value.encode() for value in values]
        if is_raw:
            message.raw_input_contents.append(b"".join(len(text).to_bytes(4, "little") + text for text in texts))
        else:
            tensor.contents.bytes_contents.extend(texts)
    elif is_raw:
        message.raw_input_contents.append(np.array(values, RAW[datatype]).tobytes())
    else:
        getattr(tensor.contents, TYPED[datatype]).extend(values)


def outputs_of(answer: Any) -> dict[str, list[Any]]:
    """Return the tensors of a response by name, whether they are raw or typed."""
    outputs = {}
    for index, tensor in enumerate(answer.outputs):
        if answer.raw_output_contents:
            assert not tensor.HasField("contents")
            outputs[tensor.name] = _read(answer.raw_output_contents[index], tensor)
        elif tensor.datatype == "BYTES":
            outputs[tensor.name] = [text.decode() for text in tensor.contents.bytes_contents]
        else:
            values = np.array(getattr(tensor.contents, TYPED[tensor.datatype]))
            outputs[tensor.name] = values.reshape(tensor.shape).tolist()
    assert len(answer.raw_output_contents) in (0, len(answer.outputs))
    return outputs


def _read(blob: bytes, output: Any) -> list[Any]:
    if output.datatype != "BYTES":
        array: NDArray[Any] = np.frombuffer(blob, RAW[output.datatype])
        return list(array.reshape(output.shape).tolist())
    texts = []
    while blob:
        length = int.from_bytes(blob[:4], "little")
        texts.append(blob[4 : 4 + length].decode())
        blob = blob[4 + length :]
    return texts

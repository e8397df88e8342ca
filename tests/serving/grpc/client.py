"""A client that knows the service by its reflection alone, as grpcurl does: it is made from none of our own files."""

from collections.abc import Mapping, Sequence
from typing import Any

import grpc
import numpy as np
from google.protobuf import descriptor_pool, message_factory
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import ProtoReflectionDescriptorDatabase
from numpy.typing import NDArray

SERVICE = "inference.GRPCInferenceService"

#: By the datatype of an input: the list that typed values stand in, and numpy's name for raw ones.
TYPED = {"FP64": "fp64_contents", "FP32": "fp32_contents", "INT64": "int64_contents", "BOOL": "bool_contents"}
RAW = {"FP64": "<f8", "FP32": "<f4", "INT64": "<i8", "BOOL": "?"}
DATATYPES = {float: "FP64", int: "INT64", bool: "BOOL", str: "BYTES"}


class Client:
    """One connection of its own; every call carries the ``metadata``."""

    def __init__(self, port: int, **metadata: str) -> None:
        self.channel = grpc.insecure_channel(f"127.0.0.1:{port}", options=[("grpc.use_local_subchannel_pool", 1)])
        self.metadata = tuple((name.replace("_", "-"), value) for name, value in metadata.items())
        self.reflection = ProtoReflectionDescriptorDatabase(self.channel)
        pool = descriptor_pool.DescriptorPool(self.reflection)
        self.methods = {method.name: method for method in pool.FindServiceByName(SERVICE).methods}

    def message(self, method: str, **fields: Any) -> Any:
        """The message that a method takes."""
        return message_factory.GetMessageClass(self.methods[method].input_type)(**fields)

    def start(self, method: str, message: Any, seconds: float = 30, **metadata: str) -> grpc.Future:
        """A call under way."""
        call = self.channel.unary_unary(
            f"/{SERVICE}/{method}",
            request_serializer=lambda sent: sent if isinstance(sent, bytes) else sent.SerializeToString(),
            response_deserializer=message_factory.GetMessageClass(self.methods[method].output_type).FromString,
        )
        given = tuple((name.replace("_", "-"), value) for name, value in metadata.items())
        return call.future(message, timeout=seconds, metadata=self.metadata + given)

    def call(self, method: str, **fields: Any) -> Any:
        """The answer to a call; raises grpc.RpcError where it is refused."""
        return self.start(method, self.message(method, **fields)).result()

    def infer(self, rows: Sequence[Mapping[str, Any]], *, is_raw: bool = True, **fields: Any) -> Any:
        """The message that asks for predictions of rows."""
        message = self.message("ModelInfer", model_name="served", **fields)
        for name, value in rows[0].items():
            datatype = DATATYPES[type(value)]
            put(message, name, datatype, [row[name] for row in rows], is_raw=is_raw)
        return message


def put(message: Any, name: str, datatype: str, values: Sequence[Any], *, is_raw: bool) -> None:
    """Put an input into a message, with its values."""
    told = message.inputs.add(name=name, datatype=datatype, shape=[len(values), 1])
    if datatype == "BYTES":
        texts = [value.encode() for value in values]
        if is_raw:
            message.raw_input_contents.append(b"".join(len(text).to_bytes(4, "little") + text for text in texts))
        else:
            told.contents.bytes_contents.extend(texts)
    elif is_raw:
        message.raw_input_contents.append(np.array(values, RAW[datatype]).tobytes())
    else:
        getattr(told.contents, TYPED[datatype]).extend(values)


def outputs_of(answer: Any) -> dict[str, list[Any]]:
    """The tensors of an answer by name, whether they are raw or typed."""
    found = {}
    for place, each in enumerate(answer.outputs):
        if answer.raw_output_contents:
            assert not each.HasField("contents")
            found[each.name] = _read(answer.raw_output_contents[place], each)
        elif each.datatype == "BYTES":
            found[each.name] = [text.decode() for text in each.contents.bytes_contents]
        else:
            found[each.name] = np.array(getattr(each.contents, TYPED[each.datatype])).reshape(each.shape).tolist()
    assert len(answer.raw_output_contents) in (0, len(answer.outputs))
    return found


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

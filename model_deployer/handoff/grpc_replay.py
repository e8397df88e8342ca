"""Replay the golden requests over gRPC, with a client that discovers the service by reflection, like grpcurl."""

from collections.abc import Callable, Mapping
from typing import Any

import grpc
from google.protobuf import descriptor_pool, message_factory
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import ProtoReflectionDescriptorDatabase

from model_deployer.contract.errors import CheckFailed
from model_deployer.package.samples import Samples, answers_match

SERVICE = "inference.GRPCInferenceService"

#: The type of a JSON value, with the datatype of its tensor and the field of the message that holds such values.
_TYPES = {
    float: ("FP64", "fp64_contents"),
    int: ("INT64", "int64_contents"),
    bool: ("BOOL", "bool_contents"),
    str: ("BYTES", "bytes_contents"),
}

Infer = Callable[[Any], Any]


def replay_grpc(address: str, samples: Samples) -> int:
    """Send every golden and edge row with ``ModelInfer``, and compare the answers with those over HTTP.

    A null is not sent, and a request needs a tensor: rows without any value are left out.

    Args:
        address: The host and port of the gRPC server.
        samples: The requests, with the answers of ``POST /predict``.

    Returns:
        The number of rows that were sent.

    Raises:
        CheckFailed: If an answer differs, or there is no answer.
    """
    rows = 0
    with grpc.insecure_channel(address) as channel:
        try:
            request, infer = _method(channel)
            for sample in (*samples.golden, *samples.edge):
                for row, prediction in zip(sample.request["rows"], sample.answer["predictions"], strict=True):
                    if all(value is None for value in row.values()):
                        continue
                    tensors = _tensors(infer(_request(request, samples.model["name"], row)))
                    if not answers_match(_expected(prediction), tensors, samples.tolerance):
                        raise CheckFailed(f"'{sample.case}': the answer over gRPC differs from the answer over HTTP")
                    rows += 1
        except grpc.RpcError as error:
            raise CheckFailed(f"gRPC: {error.code().name}: {error.details()}") from None
    return rows


def _method(channel: grpc.Channel) -> tuple[Any, Infer]:
    """Return the class of ModelInfer's request message, and a function that calls ModelInfer."""
    pool = descriptor_pool.DescriptorPool(ProtoReflectionDescriptorDatabase(channel))
    method = pool.FindServiceByName(SERVICE).methods_by_name["ModelInfer"]
    request, answer = map(message_factory.GetMessageClass, (method.input_type, method.output_type))
    call = channel.unary_unary(
        f"/{SERVICE}/ModelInfer", request_serializer=request.SerializeToString, response_deserializer=answer.FromString
    )
    return request, lambda message: call(message, timeout=60)


def _request(message_class: Any, model: str, row: Mapping[str, Any]) -> Any:
    """Return the request message for one row, without its null values."""
    message = message_class(model_name=model)
    for name, value in row.items():
        if value is not None:
            values, shape = _flat(value)
            datatype, field = _TYPES[float if float in map(type, values) else type(values[0])]
            tensor = message.inputs.add(name=name, datatype=datatype, shape=shape)
            getattr(tensor.contents, field).extend(item.encode() if isinstance(item, str) else item for item in values)
    return message


def _flat(value: Any) -> tuple[list[Any], list[int]]:
    """Return the values of a row of a tensor in one list, and its shape with one row."""
    values, shape = [value], [1]
    while isinstance(values[0], list):
        shape.append(len(values[0]))
        values = [item for items in values for item in items]
    return values, shape


def _tensors(answer: Any) -> dict[str, list[Any]]:
    """Return the values of an answer by the names of its tensors."""
    tensors: dict[str, list[Any]] = {}
    for tensor in answer.outputs:
        ((_, values),) = tensor.contents.ListFields()
        tensors[tensor.name] = [value.decode() if isinstance(value, bytes) else value for value in values]
    return tensors


def _expected(prediction: Mapping[str, Any]) -> dict[str, list[Any]]:
    """Return a prediction of ``POST /predict`` as tensors of one row."""
    if "value" in prediction:
        return {name: [value] for name, value in prediction.items()}
    if "values" in prediction:
        values = prediction["values"]
        return {"values": list(values.values()) if isinstance(values, dict) else values}
    labels = prediction["probabilities"]
    tensors = {"probabilities": list(labels.values()), "decision": [prediction["decision"]]}
    return tensors | ({"set": [label in prediction["set"] for label in labels]} if "set" in prediction else {})

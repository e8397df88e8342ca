"""The golden requests over gRPC, by a client that knows the service by its reflection alone, as grpcurl does."""

from collections.abc import Callable, Mapping
from typing import Any

import grpc
from google.protobuf import descriptor_pool, message_factory
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import ProtoReflectionDescriptorDatabase

from model_deployer.contract.errors import CheckFailed
from model_deployer.package.samples import Samples, answers_match

SERVICE = "inference.GRPCInferenceService"

#: Of a JSON value: the datatype of a tensor that holds it, and where a message has values of that type.
_TYPES = {
    float: ("FP64", "fp64_contents"),
    int: ("INT64", "int64_contents"),
    bool: ("BOOL", "bool_contents"),
    str: ("BYTES", "bytes_contents"),
}

Infer = Callable[[Any], Any]


def replay_grpc(address: str, samples: Samples) -> int:
    """Ask for every golden and edge row by ``ModelInfer``, and compare the answer with that over HTTP.

    Args:
        address: Host and port of the gRPC server.
        samples: The requests, with what ``POST /predict`` answered.

    Returns:
        How many rows were asked for.

    Raises:
        CheckFailed: An answer differs, or there is none.
    """
    rows = 0
    with grpc.insecure_channel(address) as channel:
        try:
            request, infer = _method(channel)
            for sample in (*samples.golden, *samples.edge):
                for row, prediction in zip(sample.request["rows"], sample.answer["predictions"], strict=True):
                    found = _tensors(infer(_asked(request, samples.model["name"], row)))
                    if not answers_match(_expected(prediction), found, samples.tolerance):
                        raise CheckFailed(f"'{sample.case}' is answered otherwise over gRPC than over HTTP")
                    rows += 1
        except grpc.RpcError as error:
            raise CheckFailed(f"gRPC: {error.code().name}: {error.details()}") from None
    return rows


def _method(channel: grpc.Channel) -> tuple[Any, Infer]:
    """The message that ModelInfer takes, and what calls it."""
    pool = descriptor_pool.DescriptorPool(ProtoReflectionDescriptorDatabase(channel))
    method = pool.FindServiceByName(SERVICE).methods_by_name["ModelInfer"]
    request, answer = map(message_factory.GetMessageClass, (method.input_type, method.output_type))
    call = channel.unary_unary(
        f"/{SERVICE}/ModelInfer", request_serializer=request.SerializeToString, response_deserializer=answer.FromString
    )
    return request, lambda asked: call(asked, timeout=60)


def _asked(request: Any, model: str, row: Mapping[str, Any]) -> Any:
    """A request for one row; what is missing is left out."""
    asked = request(model_name=model)
    for name, value in row.items():
        if value is not None:
            datatype, field = _TYPES[type(value)]
            tensor = asked.inputs.add(name=name, datatype=datatype, shape=[1])
            getattr(tensor.contents, field).append(value.encode() if isinstance(value, str) else value)
    return asked


def _tensors(answer: Any) -> dict[str, list[Any]]:
    """The values of an answer, by the names of its tensors."""
    found: dict[str, list[Any]] = {}
    for tensor in answer.outputs:
        ((_, values),) = tensor.contents.ListFields()
        found[tensor.name] = [value.decode() if isinstance(value, bytes) else value for value in values]
    return found


def _expected(prediction: Mapping[str, Any]) -> dict[str, list[Any]]:
    """A prediction of ``POST /predict`` as tensors of one row."""
    if "value" in prediction:
        return {name: [value] for name, value in prediction.items()}
    labels = prediction["probabilities"]
    tensors = {"probabilities": list(labels.values()), "decision": [prediction["decision"]]}
    return tensors | ({"set": [label in prediction["set"] for label in labels]} if "set" in prediction else {})

"""Server reflection, in both versions of its protocol: grpcio-reflection has v1alpha, and new clients ask for v1."""

from collections.abc import Sequence
from typing import Any

import grpc
from google.protobuf import descriptor_pb2, text_format
from google.protobuf.descriptor_pool import DescriptorPool
from grpc_reflection.v1alpha import reflection, reflection_pb2, reflection_pb2_grpc

#: The names of the service in both versions, whose messages are the same on the wire.
_SERVICES = (reflection.SERVICE_NAME, "grpc.reflection.v1.ServerReflection")


def enable(server: Any, pool: DescriptorPool, services: Sequence[str]) -> None:
    """Let a server describe its services.

    Args:
        server: The gRPC server.
        pool: The descriptors of the services; those of reflection itself are added.
        services: The names of the services.
    """
    pool.AddSerializedFile(reflection_pb2.DESCRIPTOR.serialized_pb)
    pool.AddSerializedFile(_version_1().SerializeToString())
    servicer = reflection.aio.ReflectionServicer((*services, *_SERVICES), pool=pool)
    reflection_pb2_grpc.add_ServerReflectionServicer_to_server(servicer, server)
    method = grpc.stream_stream_rpc_method_handler(
        servicer.ServerReflectionInfo,
        request_deserializer=reflection_pb2.ServerReflectionRequest.FromString,
        response_serializer=reflection_pb2.ServerReflectionResponse.SerializeToString,
    )
    handler = grpc.method_handlers_generic_handler(_SERVICES[1], {"ServerReflectionInfo": method})
    server.add_generic_rpc_handlers((handler,))


def _version_1() -> descriptor_pb2.FileDescriptorProto:
    """Return the definition of v1: that of v1alpha under another name."""
    definition = descriptor_pb2.FileDescriptorProto.FromString(reflection_pb2.DESCRIPTOR.serialized_pb)
    text = text_format.MessageToString(definition).replace("v1alpha", "v1")
    return text_format.Parse(text, descriptor_pb2.FileDescriptorProto())

"""The messages and methods of the .proto files of this folder, from their compiled form, which `make proto` creates."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from google.protobuf import descriptor_pb2, message_factory
from google.protobuf.descriptor_pool import DescriptorPool

_COMPILED = Path(__file__).parent / "messages.binpb"


class MethodMessages(NamedTuple):
    """The classes of a method's request message and response message."""

    request: Any
    response: Any


def _pool() -> DescriptorPool:
    """Return a separate pool: stubs of a client with the same names may be loaded in this process."""
    pool = DescriptorPool()
    for file in descriptor_pb2.FileDescriptorSet.FromString(_COMPILED.read_bytes()).file:
        pool.AddSerializedFile(file.SerializeToString())
    return pool


#: The descriptors of all protocols.
POOL = _pool()


def methods(service: str) -> Mapping[str, MethodMessages]:
    """Return the messages of each method of a service, which is named with its package."""
    return {
        method.name: MethodMessages(
            message_factory.GetMessageClass(method.input_type), message_factory.GetMessageClass(method.output_type)
        )
        for method in POOL.FindServiceByName(service).methods
    }


def message(name: str) -> Any:
    """Return the class of a message, which is named with its package."""
    return message_factory.GetMessageClass(POOL.FindMessageTypeByName(name))

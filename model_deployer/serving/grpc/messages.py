"""The methods of open_inference.proto and their messages, from its compiled form, which `make proto` creates."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from google.protobuf import descriptor_pb2, message_factory
from google.protobuf.descriptor_pool import DescriptorPool

SERVICE = "inference.GRPCInferenceService"

_COMPILED = Path(__file__).parent / "open_inference.binpb"


class Method(NamedTuple):
    """A method of the protocol: the classes of its request message and its response message."""

    request: Any
    response: Any


def _pool() -> DescriptorPool:
    """Return a separate pool: stubs of a client with the same names may be loaded in this process."""
    pool = DescriptorPool()
    for file in descriptor_pb2.FileDescriptorSet.FromString(_COMPILED.read_bytes()).file:
        pool.AddSerializedFile(file.SerializeToString())
    return pool


#: The descriptors of the protocol.
POOL = _pool()

#: The methods by their names in the protocol.
METHODS: Mapping[str, Method] = {
    method.name: Method(
        message_factory.GetMessageClass(method.input_type), message_factory.GetMessageClass(method.output_type)
    )
    for method in POOL.FindServiceByName(SERVICE).methods
}

"""The methods of open_inference.proto and their messages, from its compiled form; `make proto` writes that anew."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from google.protobuf import descriptor_pb2, message_factory
from google.protobuf.descriptor_pool import DescriptorPool

SERVICE = "inference.GRPCInferenceService"

_COMPILED = Path(__file__).parent / "open_inference.binpb"


class Method(NamedTuple):
    """A method of the protocol: the classes of the message that it takes, and of the one that it answers with."""

    request: Any
    answer: Any


def _pool() -> DescriptorPool:
    """One of our own: a client's stubs of the same names may be loaded beside this service."""
    pool = DescriptorPool()
    for file in descriptor_pb2.FileDescriptorSet.FromString(_COMPILED.read_bytes()).file:
        pool.AddSerializedFile(file.SerializeToString())
    return pool


#: All that the protocol describes.
POOL = _pool()

#: By the names that they have there.
METHODS: Mapping[str, Method] = {
    method.name: Method(
        message_factory.GetMessageClass(method.input_type), message_factory.GetMessageClass(method.output_type)
    )
    for method in POOL.FindServiceByName(SERVICE).methods
}

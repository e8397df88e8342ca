"""The protocols in addition to the native one, by their names in the settings."""

from collections.abc import Sequence
from itertools import combinations
from typing import get_args

from model_deployer.contract.errors import UsageError
from model_deployer.serving.config.settings import ProtocolName
from model_deployer.serving.predictor import Predictor
from model_deployer.serving.protocols import openapi
from model_deployer.serving.protocols.azure import Azure
from model_deployer.serving.protocols.invocations import Invocations
from model_deployer.serving.protocols.open_inference import OpenInference
from model_deployer.serving.protocols.protocol import Protocol, Route
from model_deployer.serving.protocols.tensorflow_serving import TensorFlowServing
from model_deployer.serving.protocols.torchserve import TorchServe
from model_deployer.serving.protocols.vertex import Vertex

_ALL: tuple[type[Protocol], ...] = (OpenInference, Invocations, TensorFlowServing, TorchServe, Vertex, Azure)

PROTOCOLS: dict[str, type[Protocol]] = {protocol.name: protocol for protocol in _ALL}

#: The protocols that are available over gRPC as well.
GRPC_PROTOCOLS = ("open_inference", "tensorflow_serving", "torchserve")

assert tuple(PROTOCOLS) == get_args(ProtocolName), "each protocol of the settings must have a translator"


def create_protocols(names: Sequence[str], predictor: Predictor) -> list[Protocol]:
    """Create the protocols of these names.

    Args:
        names: Keys of :data:`PROTOCOLS`.
        predictor: The predictor of the model.

    Raises:
        UsageError: if an environment variable of a protocol has an invalid value, or names a path that the service or
            another protocol answers differently.
    """
    protocols = [PROTOCOLS[name](predictor) for name in names]
    routes = [(protocol.name, route) for protocol in protocols for route in protocol.routes]
    for name, route in routes:
        if route.path in openapi.RESERVED_PATHS or route.path.startswith(openapi.PAGE_FOLDER):
            raise UsageError(f"{name}: the service itself answers {route.path}; {_REMEDY}")
    for (first_name, first), (second_name, second) in combinations(routes, 2):
        # Within a protocol, the first route that matches a path answers it.
        if first_name != second_name and (method := _conflicting_method(first, second)):
            raise UsageError(f"{first_name} and {second_name} both answer {method.upper()} {second.path}; {_REMEDY}")
    return protocols


def check_grpc(names: Sequence[str]) -> None:
    """Check that one of the protocols is available over gRPC, for a server with a gRPC port.

    Raises:
        UsageError: if none of them is.
    """
    if not set(names) & set(GRPC_PROTOCOLS):
        raise UsageError(
            f"serving.grpc_port: no protocol of `serving.protocols` is available over gRPC; add one of "
            f"{', '.join(GRPC_PROTOCOLS)}, or leave the port out"
        )


_REMEDY = (
    "name another path in the protocol's environment variable, or list fewer protocols in serving.protocols; "
    "see docs/05-protocols.md"
)


def _conflicting_method(first: Route, second: Route) -> str | None:
    """Return a method of a path that two routes answer differently; None if their descriptions are equal."""
    if first.match(second.path) is not None or second.match(first.path) is not None:
        for method in first.operations.keys() & second.operations.keys():
            if first.operations[method] != second.operations[method]:
                return method
    return None

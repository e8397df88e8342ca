"""Servers with all protocols at once."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
import onnx
import pytest
from onnx import helper

from model_deployer.contract.artifact import Manifest
from model_deployer.contract.contract import Contract
from tests.support import tiny
from tests.support.processes import Server
from tests.support.servers import Profile, SharedServers, write_tiny

KEY = "key-of-a-client-of-any-protocol"

#: The paths that Vertex AI chooses by default.
HEALTH = "/v1/endpoints/12/deployedModels/34"
PREDICT = f"{HEALTH}:predict"

#: The texts that the graph distinguishes, and the number that it adds for each.
TEXTS = {"JFK": -0.7, "EWR": 0.11, "AA": 0.23, 'a "quoted", long\nremark': 0.31, "Zürich 🚆 日本": 0.43, "NaN": 0.53}

_graph = tiny.graph


@dataclass(frozen=True)
class Served:
    """A running server, the contract of its model, an HTTP client with a key, and the port of gRPC."""

    server: Server
    contract: Contract
    client: httpx.Client
    grpc_port: int


def graph(contract: Contract, opposite: bool = False) -> onnx.ModelProto:
    """Return the graph of tests/support/tiny.py, but with more digits of numbers and more distinct texts."""
    model = _graph(contract, opposite)
    numbers = [
        f"_float{index}" for index, feature in enumerate(contract.features) if feature.kind in ("numeric", "integer")
    ]
    for node in model.graph.node:
        if node.op_type == "Div" and node.input[0] in numbers:
            node.input[1] = "_fine"
        if node.op_type == "LabelEncoder":
            del node.attribute[:]
            texts = {"keys_strings": ["", *TEXTS], "values_floats": [0.0, *TEXTS.values()], "default_float": 0.3}
            node.attribute.extend(helper.make_attribute(name, value) for name, value in texts.items())
    model.graph.initializer.append(helper.make_tensor("_fine", onnx.TensorProto.FLOAT, [1], [5000.0]))
    return model


def write(folder: Path, contract: Contract) -> Manifest:
    """Write the files of the tiny model with this graph."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tiny, "graph", graph)
        return write_tiny(folder, contract)


@contextmanager
def served(servers: SharedServers, contract: Contract, workers: int = 1, **environment: str) -> Iterator[Served]:
    """Start a server of a model with this contract, with an API key and all protocols, Vertex AI's paths included."""
    variables = {"AIP_HEALTH_ROUTE": HEALTH, "AIP_PREDICT_ROUTE": PREDICT, "DEPLOYER_API_KEYS": KEY} | environment
    server = servers.get(Profile(contract, write, tuple(variables.items()), workers, speaks_grpc=True))
    assert server.grpc_port is not None
    with httpx.Client(base_url=server.url, timeout=30, headers={"X-API-Key": KEY}) as client:
        yield Served(server, contract, client, server.grpc_port)

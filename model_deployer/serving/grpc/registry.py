"""The services of the protocols that are available over gRPC, by the names of the protocols in the settings."""

from collections.abc import Sequence
from typing import Any

from model_deployer.serving.grpc.open_inference import OpenInference
from model_deployer.serving.grpc.service import Service
from model_deployer.serving.grpc.tensorflow_serving import TensorFlowServing
from model_deployer.serving.grpc.torchserve import TorchServe
from model_deployer.serving.predictor import Predictor
from model_deployer.serving.protocols.registry import GRPC_PROTOCOLS

_TRANSLATORS: dict[str, Any] = {
    "open_inference": OpenInference,
    "tensorflow_serving": TensorFlowServing,
    "torchserve": TorchServe,
}

assert tuple(_TRANSLATORS) == GRPC_PROTOCOLS, "each protocol with gRPC must have a translator"


def create_services(names: Sequence[str], predictor: Predictor) -> list[Service]:
    """Return the services of the protocols of these names; those without gRPC have none."""
    return [
        service
        for name, translator in _TRANSLATORS.items()
        if name in names
        for service in translator(predictor).services
    ]

"""The protocols that there are beside the native one, by their names in the settings."""

from serving.protocol import Protocol
from serving.protocols.azure import Azure
from serving.protocols.invocations import Invocations
from serving.protocols.open_inference import OpenInference
from serving.protocols.tensorflow_serving import TensorFlowServing
from serving.protocols.vertex import Vertex

_ALL: tuple[type[Protocol], ...] = (OpenInference, Invocations, TensorFlowServing, Vertex, Azure)

PROTOCOLS: dict[str, type[Protocol]] = {each.name: each for each in _ALL}

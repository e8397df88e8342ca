"""TorchServe's inference API over gRPC: from request messages to response messages.

https://docs.pytorch.org/serve/grpc_api.html
"""

from collections.abc import Sequence
from functools import partial
from typing import Any

from model_deployer.contract.errors import MalformedBody
from model_deployer.contract.image_file import is_image_file
from model_deployer.serving.grpc import messages
from model_deployer.serving.grpc.service import Method, Service
from model_deployer.serving.predictor import Predictor
from model_deployer.serving.protocols import bodies, ping
from model_deployer.serving.protocols.protocol import RowsAndAnswer, predict_json
from model_deployer.serving.protocols.torchserve_predictions import TorchServePredictions
from model_deployer.serving.rows.images import lone_image

_SERVICE = "org.pytorch.serve.grpc.inference.InferenceAPIsService"

_MESSAGES = messages.methods(_SERVICE)

#: The keys of the input that may hold the rows: TorchServe's own handlers read both.
_KEYS = ("data", "body")


class TorchServe:
    """Answers the requests to one model, with the JSON of the protocol's REST API."""

    def __init__(self, predictor: Predictor) -> None:
        self._predictor = predictor
        self._predictions = TorchServePredictions(predictor)
        self._image = lone_image(predictor.artifact.contract.features)

    @property
    def services(self) -> Sequence[Service]:
        """The service of the protocol."""
        methods = {
            "Ping": Method(self._ping, is_public=True),
            "Predictions": Method(self._predict, is_inference=True),
            "StreamPredictions": Method(self._predict, is_inference=True, is_stream=True),
        }
        return [Service(_SERVICE, "torchserve_grpc", methods)]

    async def _ping(self, request: Any) -> Any:
        return _MESSAGES["Ping"].response(health=ping.health(self._predictor).decode())

    async def _predict(self, request: Any) -> Any:
        self._predictions.check_model(request.model_name, request.model_version)
        content = next((request.input[key] for key in _KEYS if key in request.input), None)
        if content is None:
            raise MalformedBody("expected `input` to have the rows, as JSON, under `data` or `body`")
        prediction = await predict_json(self._predictor, len(content), partial(self._read, content))
        return _MESSAGES["Predictions"].response(prediction=prediction)

    def _read(self, content: bytes) -> RowsAndAnswer:
        if self._image and is_image_file(content):
            return self._predictions.read({self._image: content})
        self._predictor.value_counter.reserve(content)
        return self._predictions.read(bodies.parse(content))

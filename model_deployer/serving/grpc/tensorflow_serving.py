"""TensorFlow Serving's protocol over gRPC: from request messages to response messages.

https://github.com/tensorflow/serving/blob/master/tensorflow_serving/apis/prediction_service.proto and
https://github.com/tensorflow/serving/blob/master/tensorflow_serving/apis/model_service.proto
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from google.protobuf.json_format import ParseDict

from model_deployer.contract.errors import MalformedBody, NotFound
from model_deployer.contract.outputs import Arrays, Classification, VectorOutput
from model_deployer.serving.grpc import messages, tensor_proto
from model_deployer.serving.grpc.examples import ExampleReader
from model_deployer.serving.grpc.service import Method, Service
from model_deployer.serving.predictor import Predictor
from model_deployer.serving.protocols.tensorflow_signature import (
    LABEL,
    SIGNATURE,
    integer_version,
    signature_definitions,
)
from model_deployer.serving.protocols.tensors import Tensors, ValuesByName

_PROTOCOL = "tensorflow_serving_grpc"

_PREDICTION_SERVICE, _MODEL_SERVICE = "tensorflow.serving.PredictionService", "tensorflow.serving.ModelService"

_PREDICTION, _MODEL = messages.methods(_PREDICTION_SERVICE), messages.methods(_MODEL_SERVICE)

#: The only kind of metadata, and the message that it is.
_METADATA, _METADATA_MESSAGE = "signature_def", "tensorflow.serving.SignatureDefMap"


class TensorFlowServing:
    """Answers the requests to one model, with the tensors of the protocol's REST API."""

    def __init__(self, predictor: Predictor) -> None:
        artifact = predictor.artifact
        self._predictor, self._background = predictor, predictor.background
        self._output = artifact.contract.output
        self._tensors = Tensors(predictor)
        self._read_examples = ExampleReader(artifact.contract)
        self._model, self._version = artifact.manifest.name, int(integer_version(artifact.manifest.version))
        definitions = ParseDict(signature_definitions(artifact), messages.message(_METADATA_MESSAGE)())
        self._definitions: bytes = definitions.SerializeToString()

    @property
    def services(self) -> Sequence[Service]:
        """The services of the protocol."""
        prediction = {
            "Classify": Method(self._classify, is_inference=True),
            "Regress": Method(self._regress, is_inference=True),
            "Predict": Method(self._predict, is_inference=True),
            "GetModelMetadata": Method(self._metadata),
        }
        model = {"GetModelStatus": Method(self._status)}
        return [Service(_PREDICTION_SERVICE, _PROTOCOL, prediction), Service(_MODEL_SERVICE, _PROTOCOL, model)]

    async def _predict(self, request: Any) -> Any:
        self._check_model(request.model_spec)
        names = self._requested_outputs(request.output_filter)
        columns = await self._background.run_if_large(request.ByteSize(), self._columns, request)
        outputs = await self._tensors.predict(columns)
        return await self._background.run_if_many(_row_count(outputs), self._predictions, names, outputs)

    async def _classify(self, request: Any) -> Any:
        self._check_model(request.model_spec)
        self._refuse_examples_for_vectors()
        if not isinstance(self._output, Classification):
            raise MalformedBody("the model is a regression; call Regress or Predict")
        outputs = await self._predict_examples(request)
        rows, labels = _row_count(outputs), self._output.labels
        return await self._background.run_if_many(rows, self._classifications, labels, outputs)

    async def _regress(self, request: Any) -> Any:
        self._check_model(request.model_spec)
        self._refuse_examples_for_vectors()
        if isinstance(self._output, Classification):
            raise MalformedBody("the model is a classification; call Classify or Predict")
        outputs = await self._predict_examples(request)
        return await self._background.run_if_many(_row_count(outputs), self._regressions, outputs)

    def _refuse_examples_for_vectors(self) -> None:
        if isinstance(self._output, VectorOutput):
            raise MalformedBody("the model gives several numbers for each row; call Predict")

    async def _predict_examples(self, request: Any) -> Arrays:
        rows = await self._background.run_if_large(request.ByteSize(), self._read_examples, request.input)
        return await self._predictor.predict(rows)

    async def _metadata(self, request: Any) -> Any:
        self._check_model(request.model_spec)
        if set(request.metadata_field) != {_METADATA}:
            raise MalformedBody(f"expected `metadata_field` to have `{_METADATA}` alone")
        response = _PREDICTION["GetModelMetadata"].response()
        self._describe(response.model_spec, "")
        response.metadata[_METADATA].type_url = f"type.googleapis.com/{_METADATA_MESSAGE}"
        response.metadata[_METADATA].value = self._definitions
        return response

    async def _status(self, request: Any) -> Any:
        self._check_model(request.model_spec)
        state = "AVAILABLE" if self._predictor.ready else "LOADING"
        response = _MODEL["GetModelStatus"].response()
        response.model_version_status.add(version=self._version, state=state, status={})
        return response

    def _check_model(self, specification: Any) -> None:
        """Check that the served model is requested, with its only version, label and signature, or none."""
        if specification.name != self._model:
            raise NotFound("the server has no model of this name; over HTTP, GET /v1/models names the one that it has")
        selector = specification.WhichOneof("version_choice")
        if selector == "version" and specification.version.value != self._version:
            raise NotFound("the model has no such version; GetModelStatus without a version names the one that it has")
        if selector == "version_label" and specification.version_label != LABEL:
            raise NotFound(f"the only label of a version is `{LABEL}`")
        if specification.signature_name not in ("", SIGNATURE):
            raise MalformedBody(f"the only signature is `{SIGNATURE}`")

    def _requested_outputs(self, names: Iterable[str]) -> Sequence[str]:
        """Return the names of the tensors of the response."""
        available = self._tensors.outputs
        requested = list(dict.fromkeys(names))
        if any(name not in available for name in requested):
            raise MalformedBody(f"expected each name of `output_filter` to be one of {', '.join(available)}")
        return requested or list(available)

    def _columns(self, request: Any) -> ValuesByName:
        """Return the values of the inputs by field."""
        inputs: Mapping[str, Any] = dict(request.inputs)
        shapes = [tensor_proto.shape(tensor) for tensor in inputs.values()]
        names = list(inputs)
        sizes = self._tensors.sizes(names, shapes)
        values = [
            tensor_proto.read(tensor, size, name in self._tensors.images)
            for (name, tensor), size in zip(inputs.items(), sizes, strict=True)
        ]
        return self._tensors.columns(names, shapes, values)

    def _predictions(self, names: Sequence[str], outputs: Arrays) -> Any:
        response = _PREDICTION["Predict"].response()
        self._describe(response.model_spec, SIGNATURE)
        for name in names:
            output = self._tensors.outputs[name]
            tensor_proto.write(response.outputs[name], output.values(outputs), output.datatype, output.shape)
        return response

    def _classifications(self, labels: Sequence[str], outputs: Arrays) -> Any:
        response = _PREDICTION["Classify"].response()
        self._describe(response.model_spec, SIGNATURE)
        for scores in outputs["probabilities"].tolist():
            classes = response.result.classifications.add().classes
            for label, score in zip(labels, scores, strict=True):
                classes.add(label=label, score=score)
        return response

    def _regressions(self, outputs: Arrays) -> Any:
        response = _PREDICTION["Regress"].response()
        self._describe(response.model_spec, SIGNATURE)
        for value in outputs["value"][:, 0].tolist():
            response.result.regressions.add(value=value)
        return response

    def _describe(self, specification: Any, signature: str) -> None:
        specification.name = self._model
        specification.version.value = self._version
        specification.signature_name = signature


def _row_count(outputs: Arrays) -> int:
    return len(next(iter(outputs.values())))

"""The Open Inference Protocol v2 over gRPC: from request messages to response messages.

https://github.com/kserve/open-inference-protocol/blob/main/specification/protocol/inference_grpc.md
Triton's extensions of classification, model configuration, statistics and model repository (index only):
https://github.com/triton-inference-server/server/tree/main/docs/protocol
"""

from collections.abc import Container, Iterable, Mapping, Sequence
from typing import Any, NamedTuple, get_args

import numpy as np
from google.protobuf.json_format import ParseDict
from numpy.typing import NDArray

from model_deployer.contract.errors import MalformedBody, NotFound
from model_deployer.contract.outputs import Arrays
from model_deployer.serving.grpc import messages, typed_list
from model_deployer.serving.grpc.service import Method, Service
from model_deployer.serving.predictor import Predictor
from model_deployer.serving.protocols import parameters, tensors
from model_deployer.serving.protocols.model_configuration import model_configuration
from model_deployer.serving.protocols.model_statistics import model_statistics
from model_deployer.serving.protocols.parameters import Parameters
from model_deployer.serving.protocols.tensors import Datatype, Tensors, Values, ValuesByName

_SERVICE = "inference.GRPCInferenceService"

_MESSAGES = messages.methods(_SERVICE)

_DATATYPES = get_args(Datatype)

#: The supported extensions of Triton.
_EXTENSIONS = ("classification", "model_configuration", "model_repository", "statistics")


class _TypedContents(NamedTuple):
    """The field of InferTensorContents with the values of a datatype, and their numpy dtype."""

    field: str
    dtype: Any


_TYPED_CONTENTS = {
    "BOOL": _TypedContents("bool_contents", np.bool_),
    **dict.fromkeys(("INT8", "INT16", "INT32"), _TypedContents("int_contents", np.int32)),
    "INT64": _TypedContents("int64_contents", np.int64),
    **dict.fromkeys(("UINT8", "UINT16", "UINT32"), _TypedContents("uint_contents", np.uint32)),
    "UINT64": _TypedContents("uint64_contents", np.uint64),
    "FP32": _TypedContents("fp32_contents", np.float32),
    "FP64": _TypedContents("fp64_contents", np.float64),
    "BYTES": _TypedContents("bytes_contents", object),
}


class OpenInference:
    """Answers the requests to one model."""

    def __init__(self, predictor: Predictor) -> None:
        manifest = predictor.artifact.manifest
        self._predictor = predictor
        self._tensors = Tensors(predictor)
        self._model, self._version = manifest.name, manifest.version

    @property
    def services(self) -> Sequence[Service]:
        """The service of the protocol."""
        methods = {
            "ServerLive": Method(self._live, is_public=True),
            "ServerReady": Method(self._ready, is_public=True),
            "ModelReady": Method(self._model_ready),
            "ServerMetadata": Method(self._server),
            "ModelMetadata": Method(self._metadata),
            "ModelInfer": Method(self._infer, is_inference=True),
            "RepositoryIndex": Method(self._index),
            "ModelConfig": Method(self._configuration),
            "ModelStatistics": Method(self._statistics),
        }
        return [Service(_SERVICE, "open_inference_grpc", methods)]

    async def _live(self, request: Any) -> Any:
        return _MESSAGES["ServerLive"].response(live=True)

    async def _ready(self, request: Any) -> Any:
        return _MESSAGES["ServerReady"].response(ready=self._predictor.ready)

    async def _model_ready(self, request: Any) -> Any:
        self._check_model(request.name, request.version)
        return _MESSAGES["ModelReady"].response(ready=self._predictor.ready)

    async def _server(self, request: Any) -> Any:
        response = _MESSAGES["ServerMetadata"].response
        return response(name="model-deployer", version=self._version, extensions=_EXTENSIONS)

    async def _metadata(self, request: Any) -> Any:
        self._check_model(request.name, request.version)
        response = _MESSAGES["ModelMetadata"].response
        tensor = response.TensorMetadata
        inputs = [
            tensor(name=name, datatype=datatype, shape=[-1, *self._tensors.shapes[name]])
            for name, datatype in self._tensors.inputs.items()
        ]
        outputs = [
            tensor(name=name, datatype=output.datatype, shape=[-1, *output.shape])
            for name, output in self._tensors.outputs.items()
        ]
        return response(
            name=self._model, versions=[self._version], platform="onnxruntime_onnx", inputs=inputs, outputs=outputs
        )

    async def _index(self, request: Any) -> Any:
        response, is_ready = _MESSAGES["RepositoryIndex"].response, self._predictor.ready
        if request.ready and not is_ready:
            return response()
        state = "READY" if is_ready else "UNAVAILABLE"
        return response(models=[response.ModelIndex(name=self._model, version=self._version, state=state)])

    async def _configuration(self, request: Any) -> Any:
        self._check_model(request.name, request.version)
        configuration = model_configuration(self._predictor.artifact, self._tensors)
        return ParseDict({"config": configuration}, _MESSAGES["ModelConfig"].response())

    async def _statistics(self, request: Any) -> Any:
        self._check_model(request.name or self._model, request.version)
        statistics = model_statistics(self._predictor.artifact.manifest, self._predictor.metrics.text())
        return ParseDict({"model_stats": [statistics]}, _MESSAGES["ModelStatistics"].response())

    async def _infer(self, request: Any) -> Any:
        self._check_model(request.model_name, request.model_version)
        request_parameters = parameters.from_map(request.parameters)
        seconds = parameters.check_request(request_parameters)
        class_counts = self._requested_outputs(request.outputs)
        is_raw, background = bool(request.raw_input_contents), self._predictor.background

        async def predict() -> Arrays:
            columns = await background.run_if_large(request.ByteSize(), self._columns, request, request_parameters)
            return await self._tensors.predict(columns)

        outputs = await (predict() if seconds is None else self._tensors.in_time(seconds, predict))
        rows = len(next(iter(outputs.values())))
        return await background.run_if_many(rows, self._response, request.id, class_counts, outputs, is_raw)

    def _check_model(self, model: str, version: str) -> None:
        """Check that the served model is requested; an empty version is the served one."""
        if model != self._model:
            raise NotFound("the server has no such model; RepositoryIndex names the one it has")
        if version not in ("", self._version):
            raise NotFound("the server has no such version; RepositoryIndex names the one it has")

    def _requested_outputs(self, outputs: Iterable[Any]) -> Mapping[str, int]:
        """Return the names of the outputs to send, and for each the number of classes in place of its values, or 0."""
        available = self._tensors.outputs
        if any(output.name not in available for output in outputs):
            raise MalformedBody(f"expected the name of each requested output to be one of {', '.join(available)}")
        return {
            output.name: parameters.check_output(parameters.from_map(output.parameters), available[output.name])
            for output in outputs
        } or dict.fromkeys(available, 0)

    def _columns(self, request: Any, request_parameters: Parameters) -> ValuesByName:
        """Return the values of the inputs by field."""
        inputs = request.inputs
        shapes = [list(tensor.shape) for tensor in inputs]
        names = [tensor.name for tensor in inputs]
        sizes = self._tensors.sizes(names, shapes)
        if any(tensor.datatype not in _DATATYPES for tensor in inputs):
            raise MalformedBody(f"expected the `datatype` of an input to be one of {', '.join(_DATATYPES)}")
        is_base64 = [
            parameters.is_base64(parameters.from_map(tensor.parameters), tensor.datatype, request_parameters)
            and tensor.name not in self._tensors.images
            for tensor in inputs
        ]
        is_raw = bool(request.raw_input_contents)
        values = (
            _raw_values(request, sizes, self._tensors.images)
            if is_raw
            else [
                _typed_values(tensor, size, tensor.name in self._tensors.images)
                for tensor, size in zip(inputs, sizes, strict=True)
            ]
        )
        if any(is_base64):
            values = parameters.decode_inputs(values, is_base64)
        return self._tensors.columns(names, shapes, values)

    def _response(self, request_id: str, class_counts: Mapping[str, int], outputs: Arrays, is_raw: bool) -> Any:
        response = _MESSAGES["ModelInfer"].response(model_name=self._model, model_version=self._version, id=request_id)
        for name, class_count in class_counts.items():
            output = self._tensors.outputs[name]
            values, shape, datatype = output.values(outputs), output.shape, output.datatype
            rows = len(values)
            if class_count:
                values, width = parameters.classes(values, class_count, output.labels)
                shape, datatype = (width,), "BYTES"
            tensor = response.outputs.add(name=name, datatype=datatype, shape=[rows, *shape])
            if is_raw:
                response.raw_output_contents.append(tensors.write(values))
            else:
                getattr(tensor.contents, _TYPED_CONTENTS[datatype].field).extend(typed_list.write(values))
        return response


def _raw_values(request: Any, sizes: Sequence[int], images: Container[str]) -> list[Values]:
    """Return the values of inputs that came as bytes."""
    blobs = request.raw_input_contents
    # MLServer's converter sends raw values next to empty contents.
    if len(blobs) != len(request.inputs) or any(tensor.contents.ByteSize() for tensor in request.inputs):
        raise MalformedBody("expected `raw_input_contents` of each input and no `contents`, or `contents` alone")
    return [
        tensors.read(blob, tensor.datatype, size, tensor.name in images)
        for tensor, blob, size in zip(request.inputs, blobs, sizes, strict=True)
    ]


def _typed_values(tensor: Any, size: int, is_file: bool) -> NDArray[Any]:
    """Return the values of an input that came as a list of its datatype."""
    if tensor.datatype not in _TYPED_CONTENTS:
        raise MalformedBody(f"expected the values of an input of {tensor.datatype} in `raw_input_contents`")
    field, dtype = _TYPED_CONTENTS[tensor.datatype]
    return typed_list.read(getattr(tensor.contents, field), field, dtype, size, is_file)

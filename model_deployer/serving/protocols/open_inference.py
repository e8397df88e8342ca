"""The Open Inference Protocol v2 over REST, as in KServe, Triton and MLServer, with binary tensors.

https://github.com/kserve/open-inference-protocol/blob/main/specification/protocol/inference_rest.md
Triton's extensions of binary tensor data, classification, model configuration, statistics and model repository (index
only):
https://github.com/triton-inference-server/server/tree/main/docs/protocol
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, ClassVar, NamedTuple

import msgspec
from typing_extensions import override

from model_deployer.contract.errors import InvalidRows, MalformedBody, NotFound, RequestError
from model_deployer.contract.outputs import Arrays
from model_deployer.serving.http.headers import Headers
from model_deployer.serving.predictor import Predictor
from model_deployer.serving.protocols import bodies, inference, open_inference_document, parameters, tensors
from model_deployer.serving.protocols.inference import InferenceRequest, RequestReader
from model_deployer.serving.protocols.model_configuration import model_configuration
from model_deployer.serving.protocols.model_statistics import model_statistics
from model_deployer.serving.protocols.protocol import Protocol, Reply, Request, Route
from model_deployer.serving.protocols.tensors import Output, Tensors

_BINARY = b"application/octet-stream"
_HEADER_LENGTH = b"inference-header-content-length"

_encode = msgspec.json.Encoder().encode


class _IndexRequest(msgspec.Struct):
    ready: bool = False


class _Form(NamedTuple):
    """The form of an output in a response.

    Attributes:
        is_binary: Whether its values are bytes after the JSON.
        class_count: The number of classes in place of its values; 0 for its values.
    """

    is_binary: bool
    class_count: int = 0


class OpenInference(Protocol):
    """Health, metadata and predictions of the model."""

    name: ClassVar[str] = "open_inference"
    prefixes = ("/v2",)

    def __init__(self, predictor: Predictor) -> None:
        super().__init__(predictor)
        manifest = predictor.artifact.manifest
        self._model, self._version = manifest.name, manifest.version
        self._tensors = Tensors(predictor)
        self._reader = RequestReader(predictor.artifact.contract)
        #: All outputs, each as JSON or each as bytes.
        self._json_outputs = dict.fromkeys(self._tensors.outputs, _Form(is_binary=False))
        self._binary_outputs = dict.fromkeys(self._tensors.outputs, _Form(is_binary=True))
        self._tensor_templates = {name: _tensor_template(name, out) for name, out in self._tensors.outputs.items()}
        model = _encode({"model_name": self._model, "model_version": self._version})[:-1].replace(b"%", b"%%")
        self._response_template = model + b'%b,"outputs":[%b}]}'

    @property
    def routes(self) -> Sequence[Route]:
        """The routes of health, metadata, statistics and inference; those of a model with and without its version."""
        operations = open_inference_document.operations(self.predictor.artifact)
        handlers: dict[str, Callable[[Request], Awaitable[Reply]]] = {
            "/v2": self._server,
            "/v2/health/live": self._live,
            "/v2/health/ready": self._ready,
            "/v2/repository/index": self._index,
            "/v2/models": self._models,
            "/v2/models/stats": self._statistics,  # before the models: none can be named so here
        }
        for path in ("/v2/models/{model}", "/v2/models/{model}/versions/{version}"):
            handlers[path] = self._checking_model(self._metadata)
            handlers[f"{path}/ready"] = self._checking_model(self._model_ready)
            handlers[f"{path}/infer"] = self._checking_model(self._infer)
            handlers[f"{path}/config"] = self._checking_model(self._configuration)
            handlers[f"{path}/stats"] = self._checking_model(self._statistics)
        return [
            Route(path, handler, operations[path], is_public=path.startswith("/v2/health/"))
            for path, handler in handlers.items()
        ]

    def refusal(self, error: RequestError, request_id: str) -> Reply:
        """Return ``{"error": text}`` with the code, the request id and the problems of the service's own errors."""
        document: dict[str, Any] = {"error": bodies.error_text(error), "code": error.code, "request_id": request_id}
        if isinstance(error, InvalidRows):
            document["errors"] = error.problems
        return Reply(_encode(document), error.status)

    @override
    def text_length(self, headers: Headers) -> int | None:
        value = headers.get(_HEADER_LENGTH, b"")
        return int(value) if value.isdigit() and len(value) <= 19 else None

    def schemas(self) -> Mapping[str, Any]:
        """Return the schemas of a request with one row, of a response, of the metadata, and of an error."""
        return open_inference_document.schemas(self.predictor.artifact.contract, self._tensors.outputs)

    # Health and metadata

    async def _server(self, request: Request) -> Reply:
        extensions = ["binary_tensor_data", "classification", "model_configuration", "model_repository", "statistics"]
        return _json({"name": "model-deployer", "version": self._version, "extensions": extensions})

    async def _live(self, request: Request) -> Reply:
        # The text of the specification and its OpenAPI document name different keys; clients read either.
        return _json({"live": True, "ready": self.predictor.ready})

    async def _ready(self, request: Request) -> Reply:
        ready = self.predictor.ready
        return _json({"live": True, "ready": ready}, 200 if ready else 503)

    async def _index(self, request: Request) -> Reply:
        is_ready = self.predictor.ready
        if _wants_ready_models(request.body) and not is_ready:
            return _json([])
        state = "READY" if is_ready else "UNAVAILABLE"
        return _json([{"name": self._model, "version": self._version, "state": state, "reason": ""}])

    async def _model_ready(self, request: Request) -> Reply:
        ready = self.predictor.ready
        return _json({"name": self._model, "ready": ready}, 200 if ready else 503)

    async def _metadata(self, request: Request) -> Reply:
        inputs = [
            {"name": name, "datatype": datatype, "shape": [-1, *self._tensors.shapes[name]]}
            for name, datatype in self._tensors.inputs.items()
        ]
        outputs = [
            {"name": name, "datatype": output.datatype, "shape": [-1, *output.shape]}
            for name, output in self._tensors.outputs.items()
        ]
        model = {"name": self._model, "versions": [self._version], "platform": "onnxruntime_onnx"}
        return _json(model | {"inputs": inputs, "outputs": outputs})

    async def _models(self, request: Request) -> Reply:
        return _json({"models": [self._model]})

    async def _configuration(self, request: Request) -> Reply:
        return _json(model_configuration(self.predictor.artifact, self._tensors))

    async def _statistics(self, request: Request) -> Reply:
        metrics = self.predictor.metrics.text()
        return _json({"model_stats": [model_statistics(self.predictor.artifact.manifest, metrics)]})

    def _checking_model(self, handler: Callable[[Request], Awaitable[Reply]]) -> Callable[[Request], Awaitable[Reply]]:
        """Return a handler that first checks that the path names the served model and version."""

        async def check(request: Request) -> Reply:
            if request.path_parameters["model"] != self._model:
                raise NotFound("the server has no such model; POST /v2/repository/index names the one it has")
            if request.path_parameters.get("version", self._version) != self._version:
                raise NotFound("the server has no such version; POST /v2/repository/index names the one it has")
            return await handler(request)

        return check

    # Inference

    async def _infer(self, request: Request) -> Reply:
        body, background = request.body, self.predictor.background
        inference_request, predict = await background.run_if_large(len(body), self._read, body, _json_length(request))
        return await self._answer(inference_request, predict)

    def _read(self, body: bytes, json_length: int | None) -> tuple[InferenceRequest, Callable[[], Awaitable[Arrays]]]:
        """Return a request, and the function that predicts its rows."""
        if json_length is None and (decoded := self._reader.fast(body)):
            inference_request, rows = decoded
            return inference_request, lambda: self.predictor.predict_checked(rows)
        inference_request = self._reader.slow(body if json_length is None else body[:json_length])
        columns = inference.columns(
            self._tensors, inference_request, b"" if json_length is None else body[json_length:]
        )
        return inference_request, lambda: self._tensors.predict(columns)

    async def _answer(self, request: InferenceRequest, predict: Callable[[], Awaitable[Arrays]]) -> Reply:
        """Return the response with the outputs that the request names, within the time that it allows."""
        seconds = parameters.check_request(request.parameters)
        requested = self._requested_outputs(request)
        outputs = await (predict() if seconds is None else self._tensors.in_time(seconds, predict))
        rows = len(next(iter(outputs.values())))
        return await self.predictor.background.run_if_many(rows, self._response, request.id, requested, outputs)

    def _requested_outputs(self, request: InferenceRequest) -> Mapping[str, _Form]:
        """Return the names of the outputs to send, and the form of each."""
        is_binary = request.parameters is not None and request.parameters.binary_data_output
        if not request.outputs:
            return self._binary_outputs if is_binary else self._json_outputs
        requested = {}
        for output in request.outputs:
            if output.name not in self._json_outputs:
                raise MalformedBody(
                    f"expected the name of each requested output to be one of {', '.join(self._json_outputs)}"
                )
            own = None if output.parameters is None else output.parameters.binary_data
            class_count = parameters.check_output(output.parameters, self._tensors.outputs[output.name])
            requested[output.name] = _Form(is_binary if own is None else own, class_count)
        return requested

    def _response(self, request_id: str | None, requested: Mapping[str, _Form], outputs: Arrays) -> Reply:
        blobs: list[bytes] = []
        heads = [self._tensor(name, form, outputs, blobs) for name, form in requested.items()]
        identity = b"" if request_id is None else b',"id":' + _encode(request_id)
        head = self._response_template % (identity, b"},".join(heads))
        if not blobs:
            return Reply(head)
        return Reply(b"".join([head, *blobs]), 200, _BINARY, [(_HEADER_LENGTH, b"%d" % len(head))])

    def _tensor(self, name: str, form: _Form, outputs: Arrays, blobs: list[bytes]) -> bytes:
        """Return the JSON of an output without its closing brace. Its values are in it, or appended to ``blobs``."""
        output = self._tensors.outputs[name]
        values = output.values(outputs)
        if form.class_count:
            rows = len(values)
            values, width = parameters.classes(values, form.class_count, output.labels)
            head = _tensor_template(name, Output("BYTES", (width,), output.values)) % rows
        else:
            head = self._tensor_templates[name] % len(values)
        if not form.is_binary:
            return head + b'"data":' + _encode(values if isinstance(values, list) else values.ravel().tolist())
        blobs.append(tensors.write(values))
        return head + b'"parameters":{"binary_data_size":%d}' % len(blobs[-1])


def _json(document: Any, status: int = 200) -> Reply:
    return Reply(_encode(document), status)


def _wants_ready_models(body: bytes) -> bool:
    """Return whether a request for the index is limited to ready models; an empty body is not."""
    try:
        return bool(body) and msgspec.json.decode(body, type=_IndexRequest).ready
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise MalformedBody("expected no body, or an object in which `ready` is true or false") from None


def _tensor_template(name: str, output: Output) -> bytes:
    """Return the JSON of a tensor up to its values, with a placeholder for the number of rows."""
    sizes = "".join(f",{size}" for size in output.shape)
    return f'{{"name":"{name}","datatype":"{output.datatype}","shape":[%d{sizes}],'.encode()


def _json_length(request: Request) -> int | None:
    """Return the length of the JSON before binary tensors, in bytes; None if the whole body is JSON."""
    value = request.headers.get(_HEADER_LENGTH)
    if value is None:
        return None
    if not value.isdigit() or len(value) > 19 or int(value) > len(request.body):
        raise MalformedBody(
            "Inference-Header-Content-Length: expected the length in bytes of the JSON at the start of the body"
        )
    return int(value)

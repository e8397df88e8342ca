"""The Open Inference Protocol v2 over REST, as KServe, Triton and MLServer speak it, with binary tensors.

https://github.com/kserve/open-inference-protocol/blob/main/specification/protocol/inference_rest.md, and of Triton the
binary tensor data extension and the model repository extension (index only):
https://github.com/triton-inference-server/server/tree/main/docs/protocol.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, ClassVar

import msgspec

from model_deployer.contract.errors import InvalidRows, MalformedBody, NotFound, RequestError
from model_deployer.contract.outputs import Arrays
from model_deployer.serving.predictor import Predictor
from model_deployer.serving.protocols import bodies, inference, open_inference_document, tensors
from model_deployer.serving.protocols.inference import Inference, Reader
from model_deployer.serving.protocols.protocol import Protocol, Reply, Request, Route
from model_deployer.serving.protocols.tensors import Output, Tensors

_BINARY = b"application/octet-stream"
_HEADER_LENGTH = b"inference-header-content-length"

_encode = msgspec.json.Encoder().encode


class OpenInference(Protocol):
    """Health, metadata and predictions of the one model that there is."""

    name: ClassVar[str] = "open_inference"

    def __init__(self, predictor: Predictor) -> None:
        super().__init__(predictor)
        manifest = predictor.artifact.manifest
        self._model, self._version = manifest.name, manifest.version
        self._tensors = Tensors(predictor)
        self._read = Reader(predictor.artifact.contract)
        self._all = dict.fromkeys(self._tensors.outputs, False)
        self._beginnings = {name: _beginning(name, output) for name, output in self._tensors.outputs.items()}
        model = _encode({"model_name": self._model, "model_version": self._version})[:-1].replace(b"%", b"%%")
        self._frame = model + b'%b,"outputs":[%b}]}'

    @property
    def routes(self) -> Sequence[Route]:
        """Health, metadata and inference; those of a model with and without its version."""
        operations = open_inference_document.operations(self.predictor.artifact)
        answers: dict[str, Callable[[Request], Awaitable[Reply]]] = {
            "/v2": self._server,
            "/v2/health/live": self._live,
            "/v2/health/ready": self._ready,
            "/v2/repository/index": self._index,
        }
        for path in ("/v2/models/{model}", "/v2/models/{model}/versions/{version}"):
            answers[path] = self._of_model(self._metadata)
            answers[f"{path}/ready"] = self._of_model(self._model_ready)
            answers[f"{path}/infer"] = self._of_model(self._infer)
        return [
            Route(path, answer, operations[path], is_open=path.startswith("/v2/health/"))
            for path, answer in answers.items()
        ]

    def refusal(self, error: RequestError, request_id: str) -> Reply:
        """``{"error": text}``, and beside it what the service's own refusals say."""
        document: dict[str, Any] = {"error": bodies.words(error), "code": error.code, "request_id": request_id}
        if isinstance(error, InvalidRows):
            document["errors"] = error.problems
        return Reply(_encode(document), error.status)

    def schemas(self) -> Mapping[str, Any]:
        """Of a request with one row, of an answer, of the metadata, and of a refusal."""
        return open_inference_document.schemas(self.predictor.artifact.contract, self._tensors.outputs)

    # The pages

    async def _server(self, request: Request) -> Reply:
        extensions = ["binary_tensor_data", "model_repository"]
        return _json({"name": "model-deployer", "version": self._version, "extensions": extensions})

    async def _live(self, request: Request) -> Reply:
        # The specification's text and its OpenAPI document name different keys, and clients read either.
        return _json({"live": True, "ready": self.predictor.ready})

    async def _ready(self, request: Request) -> Reply:
        ready = self.predictor.ready
        return _json({"live": True, "ready": ready}, 200 if ready else 503)

    async def _index(self, request: Request) -> Reply:
        state = "READY" if self.predictor.ready else "UNAVAILABLE"
        return _json([{"name": self._model, "version": self._version, "state": state, "reason": ""}])

    async def _model_ready(self, request: Request) -> Reply:
        ready = self.predictor.ready
        return _json({"name": self._model, "ready": ready}, 200 if ready else 503)

    async def _metadata(self, request: Request) -> Reply:
        inputs = [
            {"name": name, "datatype": datatype, "shape": [-1, 1]} for name, datatype in self._tensors.inputs.items()
        ]
        outputs = [
            {"name": name, "datatype": output.datatype, "shape": [-1, *output.shape]}
            for name, output in self._tensors.outputs.items()
        ]
        head = {"name": self._model, "versions": [self._version], "platform": "onnxruntime_onnx"}
        return _json(head | {"inputs": inputs, "outputs": outputs})

    def _of_model(self, answer: Callable[[Request], Awaitable[Reply]]) -> Callable[[Request], Awaitable[Reply]]:
        """The answer, where the path names the model and the version that there are."""

        async def check(request: Request) -> Reply:
            if request.named["model"] != self._model:
                raise NotFound("the server has no such model; POST /v2/repository/index names the one it has")
            if request.named.get("version", self._version) != self._version:
                raise NotFound("the server has no such version; POST /v2/repository/index names the one it has")
            return await answer(request)

        return check

    # Inference

    async def _infer(self, request: Request) -> Reply:
        length = _header_length(request)
        if length is None and (found := self._read.fast(request.body)):
            asked, rows = found
            wanted = self._wanted(asked)
            return self._answer(asked.id, wanted, await self.predictor.predict_checked(rows))
        asked = self._read.slow(request.body if length is None else request.body[:length])
        wanted = self._wanted(asked)
        blobs = b"" if length is None else request.body[length:]
        outputs = await self._tensors.predict(inference.columns(self._tensors, asked.inputs, blobs))
        return self._answer(asked.id, wanted, outputs)

    def _wanted(self, asked: Inference) -> Mapping[str, bool]:
        """The outputs to be sent, and whether each is to be binary."""
        parameters = asked.parameters
        is_binary = parameters is not None and parameters.binary_data_output
        if not asked.outputs:
            return dict.fromkeys(self._all, True) if is_binary else self._all
        wanted = {}
        for each in asked.outputs:
            if each.name not in self._all:
                raise MalformedBody(f"an output that the model does not have; it has {', '.join(self._all)}")
            own = None if each.parameters is None else each.parameters.binary_data
            wanted[each.name] = is_binary if own is None else own
        return wanted

    def _answer(self, given: str | None, wanted: Mapping[str, bool], outputs: Arrays) -> Reply:
        blobs: list[bytes] = []
        said = [self._tensor(name, outputs, blobs if is_binary else None) for name, is_binary in wanted.items()]
        identity = b"" if given is None else b',"id":' + _encode(given)
        head = self._frame % (identity, b"},".join(said))
        if not blobs:
            return Reply(head)
        return Reply(b"".join([head, *blobs]), 200, _BINARY, [(_HEADER_LENGTH, b"%d" % len(head))])

    def _tensor(self, name: str, outputs: Arrays, blobs: list[bytes] | None) -> bytes:
        """What the answer says of an output; its values are appended to ``blobs`` where there are such."""
        values = self._tensors.outputs[name].values(outputs)
        beginning = self._beginnings[name] % len(values)
        if blobs is None:
            return beginning + b'"data":' + _encode(values if isinstance(values, list) else values.ravel().tolist())
        blobs.append(tensors.write(values))
        return beginning + b'"parameters":{"binary_data_size":%d}' % len(blobs[-1])


def _json(document: Any, status: int = 200) -> Reply:
    return Reply(_encode(document), status)


def _beginning(name: str, output: Output) -> bytes:
    """What the answer says of a tensor before its values, with a place for the number of rows."""
    sizes = "".join(f",{size}" for size in output.shape)
    return f'{{"name":"{name}","datatype":"{output.datatype}","shape":[%d{sizes}],'.encode()


def _header_length(request: Request) -> int | None:
    """The bytes of JSON before binary tensors; None where all is JSON."""
    given = request.headers.get(_HEADER_LENGTH)
    if given is None:
        return None
    if not given.isdigit() or len(given) > 19 or int(given) > len(request.body):
        raise MalformedBody("Inference-Header-Content-Length: expected the bytes of the body that are JSON")
    return int(given)

"""The methods of the Open Inference Protocol v2, of messages alone: what is asked and what is answered.

https://github.com/kserve/open-inference-protocol/blob/main/specification/protocol/inference_grpc.md, and of Triton the
model repository extension (index only).
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple, get_args

import numpy as np
from numpy.typing import NDArray

from model_deployer.contract.errors import MalformedBody, NotFound
from model_deployer.contract.outputs import Arrays
from model_deployer.serving.grpc.messages import METHODS
from model_deployer.serving.predictor import Predictor
from model_deployer.serving.protocols import tensors
from model_deployer.serving.protocols.tensors import Datatype, Tensors, Values, ValuesByName

#: Bytes of a message of typed values that is turned into arrays in about the time that the way to a thread takes.
_SHORT = 16_384

_DATATYPES = get_args(Datatype)


class _Typed(NamedTuple):
    """Where a message has the values of a datatype, and what they are there."""

    field: str
    dtype: Any


_TYPED = {
    "BOOL": _Typed("bool_contents", np.bool_),
    **dict.fromkeys(("INT8", "INT16", "INT32"), _Typed("int_contents", np.int32)),
    "INT64": _Typed("int64_contents", np.int64),
    **dict.fromkeys(("UINT8", "UINT16", "UINT32"), _Typed("uint_contents", np.uint32)),
    "UINT64": _Typed("uint64_contents", np.uint64),
    "FP32": _Typed("fp32_contents", np.float32),
    "FP64": _Typed("fp64_contents", np.float64),
    "BYTES": _Typed("bytes_contents", object),
}


class Servicer:
    """Answers for one model."""

    def __init__(self, predictor: Predictor) -> None:
        manifest = predictor.artifact.manifest
        self._predictor = predictor
        self._tensors = Tensors(predictor)
        self._model, self._version = manifest.name, manifest.version

    @property
    def answers(self) -> Mapping[str, Callable[[Any], Awaitable[Any]]]:
        """Of each method, what turns its message into the answer's.

        Raises, when it is awaited, RequestErrors.
        """
        return {
            "ServerLive": self._live,
            "ServerReady": self._ready,
            "ModelReady": self._model_ready,
            "ServerMetadata": self._server,
            "ModelMetadata": self._metadata,
            "ModelInfer": self._infer,
            "RepositoryIndex": self._index,
        }

    async def _live(self, asked: Any) -> Any:
        return METHODS["ServerLive"].answer(live=True)

    async def _ready(self, asked: Any) -> Any:
        return METHODS["ServerReady"].answer(ready=self._predictor.ready)

    async def _model_ready(self, asked: Any) -> Any:
        self._check(asked.name, asked.version)
        return METHODS["ModelReady"].answer(ready=self._predictor.ready)

    async def _server(self, asked: Any) -> Any:
        answer = METHODS["ServerMetadata"].answer
        return answer(name="model-deployer", version=self._version, extensions=["model_repository"])

    async def _metadata(self, asked: Any) -> Any:
        self._check(asked.name, asked.version)
        answer = METHODS["ModelMetadata"].answer
        tensor = answer.TensorMetadata
        inputs = [tensor(name=name, datatype=kind, shape=[-1, 1]) for name, kind in self._tensors.inputs.items()]
        outputs = [
            tensor(name=name, datatype=each.datatype, shape=[-1, *each.shape])
            for name, each in self._tensors.outputs.items()
        ]
        return answer(
            name=self._model, versions=[self._version], platform="onnxruntime_onnx", inputs=inputs, outputs=outputs
        )

    async def _index(self, asked: Any) -> Any:
        answer = METHODS["RepositoryIndex"].answer
        state = "READY" if self._predictor.ready else "UNAVAILABLE"
        return answer(models=[answer.ModelIndex(name=self._model, version=self._version, state=state)])

    async def _infer(self, asked: Any) -> Any:
        self._check(asked.model_name, asked.model_version)
        wanted = self._wanted(asked.outputs)
        is_raw = bool(asked.raw_input_contents)
        if is_raw or asked.ByteSize() <= _SHORT:
            columns = self._columns(asked)
        else:
            columns = await asyncio.to_thread(self._columns, asked)
        outputs = await self._tensors.predict(columns)
        return self._answer(asked.id, wanted, outputs, is_raw=is_raw)

    def _check(self, model: str, version: str) -> None:
        """Hold what is asked for against the model that there is; no version stands for its own."""
        if model != self._model:
            raise NotFound("the server has no such model; RepositoryIndex names the one it has")
        if version not in ("", self._version):
            raise NotFound("the server has no such version; RepositoryIndex names the one it has")

    def _wanted(self, outputs: Iterable[Any]) -> Sequence[str]:
        names = list(dict.fromkeys(each.name for each in outputs)) or list(self._tensors.outputs)
        if any(name not in self._tensors.outputs for name in names):
            raise MalformedBody(f"an output that the model does not have; it has {', '.join(self._tensors.outputs)}")
        return names

    def _columns(self, asked: Any) -> ValuesByName:
        """The values of the inputs by field."""
        shapes = [list(each.shape) for each in asked.inputs]
        size = self._tensors.size(shapes)
        if any(each.datatype not in _DATATYPES for each in asked.inputs):
            raise MalformedBody(f"expected the `datatype` of an input to be one of {', '.join(_DATATYPES)}")
        values = _raw(asked, size) if asked.raw_input_contents else [_typed(each, size) for each in asked.inputs]
        return self._tensors.columns([each.name for each in asked.inputs], shapes, values)

    def _answer(self, given: str, wanted: Sequence[str], outputs: Arrays, *, is_raw: bool) -> Any:
        answer = METHODS["ModelInfer"].answer(model_name=self._model, model_version=self._version, id=given)
        for name in wanted:
            output = self._tensors.outputs[name]
            values = output.values(outputs)
            told = answer.outputs.add(name=name, datatype=output.datatype, shape=[len(values), *output.shape])
            if is_raw:
                answer.raw_output_contents.append(tensors.write(values))
            else:
                getattr(told.contents, _TYPED[output.datatype].field).extend(_listed(values))
        return answer


def _raw(asked: Any, size: int) -> list[Values]:
    """The values of inputs that came as bytes."""
    blobs = asked.raw_input_contents
    if len(blobs) != len(asked.inputs) or any(each.HasField("contents") for each in asked.inputs):
        raise MalformedBody("expected `raw_input_contents` of each input and no `contents`, or `contents` alone")
    return [tensors.read(blob, each.datatype, size) for each, blob in zip(asked.inputs, blobs, strict=True)]


def _typed(asked: Any, size: int) -> NDArray[Any]:
    """The values of an input that came as a list of its datatype."""
    if asked.datatype not in _TYPED:
        raise MalformedBody(f"expected the values of an input of {asked.datatype} in `raw_input_contents`")
    field, dtype = _TYPED[asked.datatype]
    values = list(getattr(asked.contents, field))
    if len(values) != size:
        raise MalformedBody(f"expected as many values in the `{field}` of an input as its `shape` says")
    if dtype is not object:
        return np.array(values, dtype)
    array = np.empty(size, dtype=object)
    try:
        array[:] = [value.decode() for value in values]
    except UnicodeDecodeError:
        raise MalformedBody("expected the strings of an input in UTF-8") from None
    return array


def _listed(values: Values) -> list[Any]:
    return values.ravel().tolist() if isinstance(values, np.ndarray) else [text.encode() for text in values]

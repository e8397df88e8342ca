"""What every call goes through, as the gateway does it for HTTP: its key, its time, its refusal, its count."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from typing import Any

import grpc
from google.protobuf.message import DecodeError

from model_deployer.contract.errors import DeadlineExceeded, MalformedBody, RequestError, Unauthorized
from model_deployer.serving.config.settings import Settings
from model_deployer.serving.grpc.messages import METHODS, SERVICE
from model_deployer.serving.http import headers
from model_deployer.serving.http.access_log import CLIENT_CLOSED_REQUEST, AccessLog, RequestRecord
from model_deployer.serving.http.headers import Headers
from model_deployer.serving.http.keys import ApiKeys
from model_deployer.serving.predictor import Predictor
from model_deployer.serving.protocols import bodies

PROTOCOL = "open_inference_grpc"

#: Methods that everybody may call: orchestrators ask for health without a key.
_OPEN = frozenset({"ServerLive", "ServerReady"})

#: The one method that takes time.
_WORK = "ModelInfer"

#: Bytes of a refusal's text. It travels in a header, where each byte may become three, and clients take 8 KiB of them.
_TEXT_BYTES = 1_300

#: Milliseconds after which gRPC's own clients, told to try again, do so (gRPC proposal A6).
_AGAIN = "1000"

Answer = Callable[[Any], Awaitable[Any]]


class Calls:
    """The calls of one worker.

    Args:
        predictor: Of which limits and load are asked.
        settings: Which calls are logged.
        keys: Who is answered; None for everybody.
        answers: Of each method, what turns its message into the answer's.
    """

    def __init__(
        self, predictor: Predictor, settings: Settings, keys: ApiKeys | None, answers: Mapping[str, Answer]
    ) -> None:
        self._predictor = predictor
        self._most_seconds = predictor.artifact.contract.limits.timeout_seconds
        self._journal = AccessLog(predictor.metrics, settings)
        self._keys = keys
        self._answers = answers
        self._under_way = 0
        self._finished = asyncio.Event()
        self._finished.set()

    def handlers(self) -> Any:
        """What gRPC hands calls to. Messages are read here, for gRPC would call a broken one the server's fault."""
        methods = {name: grpc.unary_unary_rpc_method_handler(partial(self._call, name)) for name in METHODS}
        return grpc.method_handlers_generic_handler(SERVICE, methods)

    async def finish(self) -> None:
        """Wait for the calls that are under way."""
        await self._finished.wait()

    async def _call(self, name: str, message: bytes, context: Any) -> bytes:
        given = _headers(context)
        entry = RequestRecord(given, headers.request_id(given))
        trailing = [("x-request-id", entry.request_id.decode())]
        status, answer = 200, b""
        self._begin()
        try:
            answer = await self._answer(name, message, given, context)
        except asyncio.CancelledError:
            self._journal.write(entry, PROTOCOL, name, CLIENT_CLOSED_REQUEST)
            raise
        except Exception as error:
            refusal = self._journal.refusal(entry, error)
            status = refusal.status
            context.set_code(grpc.StatusCode[refusal.grpc_status])
            context.set_details(_words(refusal, entry))
            trailing += _about(refusal)
        finally:
            self._end()
        context.set_trailing_metadata(trailing)
        self._journal.write(entry, PROTOCOL, name, status)
        return answer

    async def _answer(self, name: str, message: bytes, given: Headers, context: Any) -> bytes:
        if self._keys and name not in _OPEN and not self._keys.allow(given):
            raise Unauthorized("send your API key in the metadata, as `authorization: Bearer KEY` or `x-api-key: KEY`")
        if name == _WORK:
            return await self._in_time(name, message, context)
        return await self._said(name, message)

    async def _in_time(self, name: str, message: bytes, context: Any) -> bytes:
        """The answer, within the limit of the model and the deadline that the client set."""
        left = context.time_remaining()
        seconds = self._most_seconds if left is None else min(left, self._most_seconds)
        try:
            with self._predictor.deadlines.within(seconds):
                if refusal := self._predictor.refusal(seconds):
                    raise refusal
                return await self._said(name, message)
        except TimeoutError:
            raise DeadlineExceeded(seconds) from None

    async def _said(self, name: str, message: bytes) -> bytes:
        request = METHODS[name].request
        try:
            asked = request.FromString(message)
        except DecodeError:
            raise MalformedBody(f"expected a message {request.DESCRIPTOR.full_name}") from None
        answer: bytes = (await self._answers[name](asked)).SerializeToString()
        return answer

    def _begin(self) -> None:
        self._under_way += 1
        self._finished.clear()

    def _end(self) -> None:
        self._under_way -= 1
        if not self._under_way:
            self._finished.set()


def _headers(context: Any) -> Headers:
    """A call's metadata as the headers of HTTP that they are."""
    return {
        name.encode(): value if isinstance(value, bytes) else value.encode()
        for name, value in context.invocation_metadata()
    }


def _words(refusal: RequestError, entry: RequestRecord) -> str:
    """The text of a refusal: where the fault is ours, with what to report."""
    said = bodies.error_text(refusal)
    if refusal.status == 500:
        said += f" {entry.request_id.decode()}"
    return said.encode()[:_TEXT_BYTES].decode(errors="ignore")


def _about(refusal: RequestError) -> list[tuple[str, str]]:
    """What programs want to know of a refusal beside its status."""
    again = [("grpc-retry-pushback-ms", _AGAIN)] if refusal.status == 503 else []
    return [("x-error-code", refusal.code), *again]

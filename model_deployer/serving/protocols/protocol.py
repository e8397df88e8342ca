"""The interface of a protocol translator, and the router that finds the route of a request.

A translator turns a protocol's request into rows for the predictor, and the predictor's outputs into the protocol's
response. It does not validate values: :meth:`Predictor.predict` and :meth:`Predictor.predict_file` do, and
:meth:`Protocol.refusal` puts their errors into the protocol's error format. The gateway does the rest for all
protocols: it reads bodies, enforces limits, deadlines and API keys, and counts responses.
"""

import re
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache, partial
from typing import Any, ClassVar, NamedTuple

import msgspec

from model_deployer.contract.errors import NotFound, RequestError
from model_deployer.serving.http import problem_details
from model_deployer.serving.http.headers import JSON, Headers
from model_deployer.serving.predictor import Predicted, Predictor

#: The size of the cache of routes: enough for the paths in use. Paths that a scanner tries do not make it grow beyond
#: a few hundred kilobytes, as long ones are not cached.
_CACHED_PATHS = 1_024
_MAX_CACHED_PATH_CHARACTERS = 200

_encode = msgspec.json.Encoder().encode

#: The path of the web page: a protocol may answer other methods of it.
DOCUMENTATION_PATH = "/"


class Request(NamedTuple):
    """A request to one of a protocol's routes.

    Attributes:
        method: The HTTP method, in upper case.
        path_parameters: The values of the names in braces in the route's path.
        query: The part of the URL after the question mark, as it was sent.
        headers: The headers by their names in lower case.
        body: The decompressed body; empty for a method without a body.
    """

    method: str
    path_parameters: Mapping[str, str]
    query: str
    headers: Headers
    body: bytes


class Reply(NamedTuple):
    """A response; the gateway adds ``X-Request-ID`` and ``Content-Length``."""

    body: bytes
    status: int = 200
    media_type: bytes = JSON
    headers: Sequence[tuple[bytes, bytes]] = ()


@dataclass(frozen=True)
class Route:
    """A path of a protocol.

    Attributes:
        path: The path, with a name in braces for each variable part, such as ``/v2/models/{model}/infer``. It is also
            the label of the route in the metrics.
        handler: Answers a request; it may raise a RequestError.
        operations: The operation objects of the OpenAPI document, by method in lower case.
        is_public: Whether requests need no API key: orchestrators check health without one.
        ignore_case: Whether the fixed parts of the path match in upper and lower case.
    """

    path: str
    handler: Callable[[Request], Awaitable[Reply]]
    operations: Mapping[str, Mapping[str, Any]]
    is_public: bool = False
    ignore_case: bool = False

    @cached_property
    def methods(self) -> tuple[str, ...]:
        """The methods that it answers, in upper case; HEAD in addition to GET."""
        methods = tuple(method.upper() for method in self.operations)
        return (*methods, "HEAD") if "GET" in methods else methods

    def match(self, path: str) -> dict[str, str] | None:
        """Return the path parameters if the route answers this path; else None."""
        match = _pattern(self.path, self.ignore_case).fullmatch(path)
        return match.groupdict() if match else None


#: The rows of a request, and the function that makes the document of the answer from their predictions.
RowsAndAnswer = tuple[list[Any], Callable[[Predicted], Any]]


async def predict_json(predictor: Predictor, size: int, read: Callable[[], RowsAndAnswer]) -> bytes:
    """Return the answer to a request for predictions, as JSON.

    What takes long is done in the background: reading a large body, and writing the answer for many rows.

    Args:
        predictor: The predictor.
        size: The number of bytes that ``read`` reads.
        read: Returns the rows of the request as objects by field, which are not validated yet, and the function that
            makes the document of the answer from their predictions.
    """
    rows, document = await predictor.background.run_if_large(size, read)
    predicted = await predictor.predict_with_ids(rows)
    return await predictor.background.run_if_many(len(rows), lambda: _encode(document(predicted)))


class Protocol(ABC):
    """A protocol of another model server, for its existing clients.

    Attributes:
        name: Its name in the settings and in the metrics.
        prefixes: The beginnings of paths, in lower case, that belong to the protocol alone. Other paths below them are
            not found in the protocol's error format, which its clients can read.
        error_media_type: The media type of its errors.
        predictor: The predictor of the model.
    """

    name: ClassVar[str]
    prefixes: ClassVar[Sequence[str]] = ()
    error_media_type: ClassVar[str] = "application/json"

    def __init__(self, predictor: Predictor) -> None:
        self.predictor = predictor

    @property
    @abstractmethod
    def routes(self) -> Sequence[Route]:
        """Its routes. The gateway reads them once, at the start."""

    @abstractmethod
    def refusal(self, error: RequestError, request_id: str) -> Reply:
        """Return the response for an error, in the protocol's error format."""

    async def answer(self, request: Request, read: Callable[[Request], RowsAndAnswer]) -> Reply:
        """Return the answer to a request for predictions, as :func:`predict_json`.

        Args:
            request: The request.
            read: Returns the rows of the request, and the function that makes the document of the answer.
        """
        return Reply(await predict_json(self.predictor, len(request.body), partial(read, request)))

    def text_length(self, headers: Headers) -> int | None:
        """Return the length of the text before binary values in a body, in bytes; None if all of it is text.

        The values of the text are counted before it is parsed.
        """
        return None

    @abstractmethod
    def schemas(self) -> Mapping[str, Any]:
        """Return the schemas to which its operations refer under ``#/components/schemas``.

        Their names begin with the name of the protocol. The schema whose name ends with ``Error`` describes the error
        format.
        """


def problem_reply(error: RequestError, request_id: str) -> Reply:
    """Return the response for an error as a problem document, the service's own error format."""
    body = problem_details.encode_problem(error, request_id)
    return Reply(body, error.status, problem_details.MEDIA_TYPE.encode())


@dataclass(frozen=True, slots=True)
class RouteMatch:
    """The route of a request.

    Attributes:
        protocol: The protocol that answers the request, or refuses its method.
        route: The route of that protocol.
        path_parameters: The values of the names in braces in the route's path.
        methods: All methods that the path answers, in any protocol; none for an unknown path below a prefix.
    """

    protocol: Protocol
    route: Route
    path_parameters: Mapping[str, str]
    methods: tuple[str, ...]


def build_router(protocols: Sequence[Protocol]) -> Callable[[str, str], RouteMatch | None]:
    """Return a function that finds the first route of all protocols for a method and a path.

    If a route matches the path but none of them the method, the function returns that route: its protocol refuses the
    method. Below the prefixes of a protocol, slashes at the end of a path count for nothing, and a path without a
    route has a match without methods. The function returns None for any other path without a route.
    """
    routes = [(protocol, route) for protocol in protocols for route in protocol.routes]
    prefixes = [(prefix, protocol) for protocol in protocols for prefix in protocol.prefixes]

    def search(method: str, path: str) -> RouteMatch | None:
        matches = [
            (protocol, route, parameters) for protocol, route in routes if (parameters := route.match(path)) is not None
        ]
        with_method = [match for match in matches if method in match[1].methods]
        if not matches:
            return search_below_prefix(method, path)
            return None
        methods = dict.fromkeys(name for _, route, _ in matches for name in route.methods)
        return RouteMatch(*(with_method or matches)[0], tuple(methods))

    def search_below_prefix(method: str, path: str) -> RouteMatch | None:
        for prefix, protocol in prefixes:
            if f"{path}/".lower().startswith(f"{prefix}/"):
                without_slash = search(method, path.rstrip("/")) if path.endswith("/") else None
                return without_slash or RouteMatch(protocol, _UNKNOWN, {}, ())
        return None

    cached_search = lru_cache(_CACHED_PATHS)(search)

    def find(method: str, path: str) -> RouteMatch | None:
        return (cached_search if len(path) <= _MAX_CACHED_PATH_CHARACTERS else search)(method, path)

    return find


async def _not_found(request: Request) -> Reply:
    raise NotFound(UNKNOWN_PATH)


#: The text of the error for an unknown path.
UNKNOWN_PATH = "the paths are listed in /docs.json"

#: The route of unknown paths below a prefix. They share one label in the metrics, so that labels stay few.
_UNKNOWN = Route("other", _not_found, {})


@lru_cache
def _pattern(path: str, ignore_case: bool) -> re.Pattern[str]:
    """Return the pattern of a route's paths: a name in braces matches any text without a slash or a colon."""
    parts = re.split(r"\{(\w+)\}", path)
    patterns = [f"(?P<{part}>[^/:]+)" if index % 2 else re.escape(part) for index, part in enumerate(parts)]
    return re.compile("".join(patterns), re.IGNORECASE if ignore_case else re.NOFLAG)

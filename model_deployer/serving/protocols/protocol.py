"""What a translator is: bytes and names in, rows for the predictor, its outputs in the words of a protocol.

A translator knows no model and checks no value: :meth:`Predictor.predict` and :meth:`Predictor.predict_file` do, and
what they raise is put into the protocol's own envelope by :meth:`Protocol.refusal`. The gateway reads bodies, holds
limits, deadlines and keys, and counts, for all protocols alike.
"""

import re
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Any, ClassVar, NamedTuple

from model_deployer.contract.errors import RequestError
from model_deployer.serving.http.headers import JSON, Headers
from model_deployer.serving.predictor import Predictor

#: Paths whose route is remembered: those that are asked for, not those that somebody tries.
_REMEMBERED = 1_024

#: The documentation page: a protocol may answer other methods of its path.
PAGE = "/"


class Request(NamedTuple):
    """A request to one of a protocol's routes.

    Attributes:
        method: In capitals.
        named: What stands where the route's path has braces.
        query: What follows the question mark, as it was sent.
        headers: By their names in small letters.
        body: Unpacked; empty for a method that has none.
    """

    method: str
    named: Mapping[str, str]
    query: str
    headers: Headers
    body: bytes


class Reply(NamedTuple):
    """An answer; the gateway adds ``X-Request-ID`` and the length."""

    body: bytes
    status: int = 200
    media_type: bytes = JSON
    headers: Sequence[tuple[bytes, bytes]] = ()


@dataclass(frozen=True)
class Route:
    """A path of a protocol.

    Attributes:
        path: With a name in braces for each part that varies, such as ``/v2/models/{model}/infer``; it is the label in
            the metrics, too.
        answer: What answers a request.
        operations: By method in small letters, the operation object of the OpenAPI document.
        is_open: Whether everybody is answered, with an API key or not: orchestrators ask for health without one.
        any_case: Whether what stands outside the braces may be written in capitals as well as in small letters.
    """

    path: str
    answer: Callable[[Request], Awaitable[Reply]]
    operations: Mapping[str, Mapping[str, Any]]
    is_open: bool = False
    ignore_case: bool = False

    @cached_property
    def methods(self) -> tuple[str, ...]:
        """The methods that it answers, in capitals; HEAD with GET."""
        given = tuple(method.upper() for method in self.operations)
        return (*given, "HEAD") if "GET" in given else given

    def match(self, path: str) -> dict[str, str] | None:
        """What stands in place of the braces, where it answers this path; else None."""
        found = _pattern(self.path, self.ignore_case).fullmatch(path)
        return found.groupdict() if found else None


class Protocol(ABC):
    """A protocol that existing clients speak.

    Attributes:
        name: In the settings, and as a label of the metrics.
    """

    name: ClassVar[str]

    def __init__(self, predictor: Predictor) -> None:
        self.predictor = predictor

    @property
    @abstractmethod
    def routes(self) -> Sequence[Route]:
        """Its paths, made when they are asked for: at the start."""

    @abstractmethod
    def refusal(self, error: RequestError, request_id: str) -> Reply:
        """A refusal in the protocol's envelope: status, code and words of the error."""

    @abstractmethod
    def schemas(self) -> Mapping[str, Any]:
        """What its operations refer to under ``#/components/schemas``; names begin with the protocol's own.

        The one whose name ends with ``Error`` describes a refusal.
        """


@dataclass(frozen=True, slots=True)
class RouteMatch:
    """Where a request leads.

    Attributes:
        protocol, route: What answers it, or refuses its method.
        named: What stands in the braces of the route's path.
        methods: All that its path answers, whichever the protocol.
    """

    protocol: Protocol
    route: Route
    named: Mapping[str, str]
    methods: tuple[str, ...]


def build_router(protocols: Sequence[Protocol]) -> Callable[[str, str], RouteMatch | None]:
    """What finds the route of a method and a path among those of all protocols; the first one that fits."""
    routes = [(protocol, route) for protocol in protocols for route in protocol.routes]

    @lru_cache(_REMEMBERED)
    def find(method: str, path: str) -> RouteMatch | None:
        fitting = [(protocol, route, named) for protocol, route in routes if (named := route.match(path)) is not None]
        answering = [each for each in fitting if method in each[1].methods]
        if not fitting or (path == PAGE and not answering):
            return None
        methods = dict.fromkeys(name for _, route, _ in fitting for name in route.methods)
        return RouteMatch(*(answering or fitting)[0], tuple(methods))

    return find


@lru_cache
def _pattern(path: str, any_case: bool) -> re.Pattern[str]:
    """The paths of a route: a name in braces stands for anything without a slash or a colon."""
    parts = re.split(r"\{(\w+)\}", path)
    named = [f"(?P<{part}>[^/:]+)" if place % 2 else re.escape(part) for place, part in enumerate(parts)]
    return re.compile("".join(named), re.IGNORECASE if any_case else re.NOFLAG)

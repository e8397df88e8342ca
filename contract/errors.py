"""Every error of the project, as one tree.

::

    DeployerError                          exit code   meaning
    ├── UsageError                         2           what was asked for cannot be: the caller changes the input
    │   ├── SpecError                                  model.yaml or configuration.yaml is wrong, on which line
    │   ├── DataError                                  the table cannot be trained on
    │   ├── ModelNotFound                              no such model or version in the store
    │   ├── AmbiguousModel                             several models, and none was named
    │   └── ArtifactError                              files of a model are missing, altered or of an unknown format
    ├── Interrupted                        130         stopped by Ctrl-C; the message says how to go on
    ├── CheckFailed                        1           the job ran, and its answer is no (leakage under `strict`)
    ├── EnvironmentFault                   3           disk, port or package: the machine has to change
    └── RequestError                       HTTP  gRPC                 retry  code
        ├── MalformedBody                  400   INVALID_ARGUMENT     no     malformed_body
        ├── MalformedRequest               400   INVALID_ARGUMENT     no     malformed_request
        ├── InvalidHeader                  400   INVALID_ARGUMENT     no     invalid_header
        ├── Unauthorized                   401   UNAUTHENTICATED      no     unauthorized
        ├── NotFound                       404   UNIMPLEMENTED        no     not_found
        ├── MethodNotAllowed               405   UNIMPLEMENTED        no     method_not_allowed
        ├── RequestTimeout                 408   DEADLINE_EXCEEDED    yes    request_timeout
        ├── BodyTooLarge                   413   RESOURCE_EXHAUSTED   no     body_too_large
        ├── TooManyRows                    413   RESOURCE_EXHAUSTED   no     too_many_rows
        ├── UnsupportedMediaType           415   INVALID_ARGUMENT     no     unsupported_media_type
        ├── InvalidRows                    422   INVALID_ARGUMENT     no     invalid_rows
        ├── HeadersTooLarge                431   RESOURCE_EXHAUSTED   no     headers_too_large
        ├── PredictionFailed               500   INTERNAL             no     prediction_failed
        ├── Overloaded                     503   UNAVAILABLE          yes    overloaded
        └── DeadlineExceeded               504   DEADLINE_EXCEEDED    yes    deadline_exceeded

A message says what was expected and what to do next; it never repeats a value that a caller sent.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import ClassVar


class DeployerError(Exception):
    """Base of every error this project raises on purpose; its text is written for the person who reads it."""

    exit_code: ClassVar[int] = 2


class UsageError(DeployerError):
    """What was asked for cannot be done; the input has to change."""


class SpecError(UsageError):
    """A YAML file of the user's that cannot be used."""


class DataError(UsageError):
    """A table that cannot be trained on."""


class ModelNotFound(UsageError):
    """The store holds no such model or version."""


class AmbiguousModel(UsageError):
    """The store holds several models and none was named."""


class ArtifactError(UsageError):
    """Files of a model are missing, altered, or of a format that this version does not read."""


class CheckFailed(DeployerError):
    """The job ran to its end and its answer is no."""

    exit_code = 1


class Interrupted(DeployerError):
    """The user stopped the job; the message says how to go on with it."""

    exit_code = 130


class EnvironmentFault(DeployerError):
    """The machine cannot do it: a full disk, a taken port, a missing package."""

    exit_code = 3


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong with one field of one row.

    ``row`` counts from 0. ``field`` is the feature's name, or None where the row as a whole is wrong.
    ``message`` says what was expected and what to do; it holds nothing that the caller sent.
    """

    row: int
    field: str | None
    code: str
    message: str


class RequestError(DeployerError):
    """A request that gets no prediction. Subclasses fix the status; the message is for this request."""

    status: ClassVar[int] = 400
    grpc_status: ClassVar[str] = "INVALID_ARGUMENT"
    code: ClassVar[str] = "bad_request"
    title: ClassVar[str] = "Bad request"
    retry: ClassVar[bool] = False


class MalformedBody(RequestError):
    """The body is not the JSON document that the API describes."""

    code = "malformed_body"
    title = "The body cannot be read"


class MalformedRequest(RequestError):
    """What was sent is no HTTP."""

    code = "malformed_request"
    title = "This is no HTTP request"


class InvalidHeader(RequestError):
    """A header of the request has a value that cannot be read."""

    code = "invalid_header"
    title = "A header cannot be read"


class Unauthorized(RequestError):
    """The service wants an API key, and the request carries none that is valid."""

    status = 401
    grpc_status = "UNAUTHENTICATED"
    code = "unauthorized"
    title = "No valid API key"


class NotFound(RequestError):
    """The service has no such path."""

    status = 404
    grpc_status = "UNIMPLEMENTED"
    code = "not_found"
    title = "No such path"


@dataclass
class MethodNotAllowed(RequestError):
    """The path exists, under other methods; ``allow`` lists them as the Allow header wants them (RFC 9110)."""

    status = 405
    grpc_status = "UNIMPLEMENTED"
    code = "method_not_allowed"
    title = "Method not allowed"

    allow: str

    def __str__(self) -> str:
        return f"this path answers {self.allow} only"


class RequestTimeout(RequestError):
    """The request did not arrive in the time allowed; nothing was done."""

    status = 408
    grpc_status = "DEADLINE_EXCEEDED"
    code = "request_timeout"
    title = "The request took too long"
    retry = True


class BodyTooLarge(RequestError):
    """The body has more bytes than the service takes."""

    status = 413
    grpc_status = "RESOURCE_EXHAUSTED"
    code = "body_too_large"
    title = "The body is too large"


class TooManyRows(RequestError):
    """One request carries more rows than the service takes."""

    status = 413
    grpc_status = "RESOURCE_EXHAUSTED"
    code = "too_many_rows"
    title = "Too many rows"


class UnsupportedMediaType(RequestError):
    """The Content-Type is none that the service reads."""

    status = 415
    code = "unsupported_media_type"
    title = "Unsupported media type"


@dataclass
class InvalidRows(RequestError):
    """At least one row breaks the contract; every problem found is listed.

    ``total`` counts all problems; ``problems`` holds the first of them, up to the service's limit.
    """

    status = 422
    code = "invalid_rows"
    title = "Rows break the contract"

    problems: Sequence[Problem] = field(default_factory=list)
    total: int = 0

    def __str__(self) -> str:
        rows = len({problem.row for problem in self.problems})
        found = f"{self.total} problem{'s' * (self.total != 1)}"
        where = f"{rows} row{'s' * (rows != 1)}"
        if self.total > len(self.problems):
            return f"{found}; the first {len(self.problems)}, in {where}, are listed under `errors`"
        return f"{found} in {where}, listed under `errors`"


class HeadersTooLarge(RequestError):
    """The headers have more bytes than the service takes."""

    status = 431
    grpc_status = "RESOURCE_EXHAUSTED"
    code = "headers_too_large"
    title = "The headers are too large"


class PredictionFailed(RequestError):
    """The model could not answer although the request was right: our fault, never the caller's."""

    status = 500
    grpc_status = "INTERNAL"
    code = "prediction_failed"
    title = "The prediction failed"


class Overloaded(RequestError):
    """The queue is full; the request was refused before any work, and may be sent again."""

    status = 503
    grpc_status = "UNAVAILABLE"
    code = "overloaded"
    title = "Too much work at once"
    retry = True


@dataclass
class DeadlineExceeded(RequestError):
    """The time allowed, ``seconds``, ran out before the answer was there."""

    status = 504
    grpc_status = "DEADLINE_EXCEEDED"
    code = "deadline_exceeded"
    title = "Out of time"
    retry = True

    seconds: float

    def __str__(self) -> str:
        return f"no answer within {self.seconds:g} seconds; try again with fewer rows"

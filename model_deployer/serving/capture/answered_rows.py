"""The rows of the request in progress and their outputs: set where they are predicted, read where they are captured."""

from contextvars import ContextVar
from typing import NamedTuple

from model_deployer.serving.engines.batching import Arrays
from model_deployer.serving.rows.decoding import Rows


class AnsweredRows(NamedTuple):
    """The rows of one request, as the model got them.

    Attributes:
        rows: The validated rows.
        outputs: The graph's output tensors, [rows, n] each.
        time: When the model answered them, in seconds since 1970.
    """

    rows: Rows
    outputs: Arrays
    time: float


#: None as long as no row was answered.
answered_rows: ContextVar[AnsweredRows | None] = ContextVar("answered_rows", default=None)

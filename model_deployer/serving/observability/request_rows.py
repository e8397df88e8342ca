"""The number of rows of the request in progress: set where they are predicted, read where its response is counted."""

from contextvars import ContextVar

#: The number of rows; 0 as long as no row was accepted.
request_rows: ContextVar[int] = ContextVar("request_rows", default=0)

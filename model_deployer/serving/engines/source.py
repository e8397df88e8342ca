"""The engine that sends batches to the source of a model, in a process of its own: one hop over a local socket a batch.

No file of the source is loaded in this process: its bytes are only compared with their checksums.
"""

import logging
import os
import select
import socket
import struct
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from signal import SIGKILL
from typing import Any

import numpy as np
from numpy.typing import NDArray

from model_deployer.adoption.cell.cell_worker import wire
from model_deployer.adoption.cell.socket_address import connect
from model_deployer.adoption.cell.source_rows import output_tensors, source_columns
from model_deployer.contract.artifact import Artifact
from model_deployer.contract.errors import Overloaded, PredictionFailed, Unavailable
from model_deployer.contract.source_runner import SourceRunner
from model_deployer.serving.engines.refusal import refusal
from model_deployer.serving.rows.columns import Columns

#: The variable that passes the path of the socket from the parent to its workers.
SOCKET_VARIABLE = "MODEL_DEPLOYER_SOURCE"

logger = logging.getLogger("model_deployer")

#: A process that has not answered after this many times the time for a batch does not even end itself.
STUCK_FACTOR = 3

_NOT_THERE = "the process of the model is being started again"


class SourceEngine:
    """Asks the source of a model for the answers to batches.

    Args:
        artifact: A model with a runner.
        path: The path of the socket that the source answers at.
    """

    name = "source"
    inline_rows = 0
    degraded: str | None = None

    def __init__(self, artifact: Artifact, runner: SourceRunner, path: str) -> None:
        self._contract, self._runner, self._path = artifact.contract, runner, path
        self._connection: socket.socket | None = None
        # The contract decides: a second call of the model would take twice the time.
        self._options = runner.options | {"outputs": [runner.answer]}

    @property
    def unavailable(self) -> str | None:
        """Why no request is answered now; None if the source answers."""
        return None if Path(self._path).exists() else _NOT_THERE

    def tune(self, columns: Columns) -> None:
        """Do nothing: the source is as it is."""

    def run(self, columns: Columns) -> Mapping[str, NDArray[Any]]:
        """Return the output tensors, one row for each row of ``columns``.

        Raises:
            Unavailable: if the source has ended, or takes longer than a request may take.
            Overloaded: if it answers other workers for as long.
            InvalidRows: if the source raises an error for some of the rows.
            PredictionFailed: if it fails.
        """
        rows = source_columns(self._contract.features, columns)
        header, answers = self._ask(rows)
        if refused := header["refused"]:
            raise refusal({int(row): _refused_with(error) for row, error in refused.items()})
        return output_tensors(self._contract.output, answers, self._runner.answer, self._runner.half_width)

    run_locally = run

    def close(self) -> None:
        """Close the connection."""
        if self._connection:
            self._connection.close()

    def _ask(self, rows: Mapping[str, NDArray[np.generic]]) -> tuple[dict[str, Any], Mapping[str, NDArray[Any]]]:
        connection = self._connect()
        try:
            wire.send(connection, {"verb": "predict", **self._options}, dict(rows))
            header, answers = wire.receive(connection)
        except (OSError, wire.Disconnected) as error:
            if isinstance(error, TimeoutError):
                self._kill(connection)
            self._disconnect()
            raise Unavailable(_NOT_THERE) from None
        if error_of_source := header.get("error"):
            if error_of_source["type"] == "Busy":
                raise Overloaded("the model answers other requests for too long; send it again in a moment")
            raise PredictionFailed(f"the model failed: {error_of_source['type']}")
        return header, answers

    def _connect(self) -> socket.socket:
        if self._connection and _is_ended(self._connection):
            self._disconnect()
        if self._connection is None:
            connection = socket.socket(socket.AF_UNIX)
            connection.settimeout(STUCK_FACTOR * self._contract.limits.timeout_seconds)
            try:
                connect(connection, Path(self._path))
                wire.receive(connection)
            except (OSError, wire.Disconnected) as error:
                if isinstance(error, TimeoutError):  # it does not even greet a new connection
                    self._kill(connection)
                connection.close()
                raise Unavailable(_NOT_THERE) from None
            self._connection = connection
        return self._connection

    def _kill(self, connection: socket.socket) -> None:
        """End the process at the other side, which does not react; the parent starts another."""
        pid, _, _ = struct.unpack("3i", connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))
        logger.error(
            "the process of the model does not react, so it is ended",
            extra={"pid": pid, "seconds": connection.gettimeout()},
        )
        with suppress(ProcessLookupError):
            os.kill(pid, SIGKILL)

    def _disconnect(self) -> None:
        if self._connection:
            self._connection.close()
        self._connection = None


def _is_ended(connection: socket.socket) -> bool:
    """Return whether the other side has closed a connection."""
    poll = select.poll()
    poll.register(connection, 0)
    return bool(poll.poll(0))


def _refused_with(error: str) -> str:
    """Return why the source refuses a row: the type of its error without the text, which may have values."""
    return f"the model itself refuses this row with the error {error.partition(':')[0]}"

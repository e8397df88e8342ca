"""The engine that sends batches to the source of a model, in a process of its own: one hop over a local socket a batch.

No file of the source is read in this process.
"""

import logging
import os
import socket
import struct
from collections.abc import Mapping
from contextlib import suppress
from signal import SIGKILL
from typing import Any

import numpy as np
from numpy.typing import NDArray

from model_deployer.adoption.cell.cell_worker import wire
from model_deployer.adoption.cell.source_rows import output_tensors, source_columns
from model_deployer.contract.artifact import Artifact
from model_deployer.contract.errors import PredictionFailed, Unavailable
from model_deployer.contract.source_runner import SourceRunner
from model_deployer.serving.rows.columns import Columns

#: The variable that passes the path of the socket from the parent to its workers.
SOCKET_VARIABLE = "MODEL_DEPLOYER_SOURCE"

logger = logging.getLogger("model_deployer")

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
        self._options = {
            "form": runner.form,
            "missing": runner.missing,
            "categories": dict(runner.categories),
            "outputs": [runner.answer],  # the contract decides: a second call of the model would take twice the time
        }

    @property
    def unavailable(self) -> str | None:
        """Why no request is answered now; None if the source answers."""
        try:
            self._connect()
        except Unavailable as error:
            return str(error)
        return None

    def tune(self, columns: Columns) -> None:
        """Do nothing: the source is as it is."""

    def run(self, columns: Columns) -> Mapping[str, NDArray[Any]]:
        """Return the output tensors, one row for each row of ``columns``.

        Raises:
            Unavailable: if the source has ended, or takes longer than a request may take.
            PredictionFailed: if the source refuses one of the rows.
        """
        rows = source_columns(self._contract.features, columns)
        header, answers = self._ask(rows)
        if refused := header["refused"]:
            raise PredictionFailed(f"the model itself refuses these rows: {next(iter(refused.values()))}")
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
            if error_of_source["type"] == "NotLoaded":
                raise Unavailable(_NOT_THERE)
            raise PredictionFailed(f"the model failed: {error_of_source['type']}")
        return header, answers

    def _connect(self) -> socket.socket:
        if self._connection is None:
            connection = socket.socket(socket.AF_UNIX)
            connection.settimeout(self._contract.limits.timeout_seconds)
            try:
                connection.connect(self._path)
                wire.receive(connection)
            except (OSError, wire.Disconnected):
                connection.close()
                raise Unavailable(_NOT_THERE) from None
            self._connection = connection
        return self._connection

    def _kill(self, connection: socket.socket) -> None:
        """End the process at the other side, which answers no caller while it is busy; the parent starts another."""
        pid, _, _ = struct.unpack("3i", connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))
        seconds = self._contract.limits.timeout_seconds
        logger.error("the process of the model takes too long, so it is ended", extra={"pid": pid, "seconds": seconds})
        with suppress(ProcessLookupError):
            os.kill(pid, SIGKILL)

    def _disconnect(self) -> None:
        if self._connection:
            self._connection.close()
        self._connection = None

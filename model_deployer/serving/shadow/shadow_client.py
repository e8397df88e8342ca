"""The connection of one worker to the process of a shadow."""

import os
import socket
import struct
import time
from contextlib import suppress
from pathlib import Path
from signal import SIGKILL

from model_deployer.adoption.cell.cell_worker import wire
from model_deployer.adoption.cell.socket_address import connect

#: A process that takes longer for a batch is ended; the parent starts another one.
ANSWER_SECONDS = 5.0

#: How long nothing is sent after the connection failed.
_REST_SECONDS = 1.0


class ShadowGone(Exception):
    """The process does not answer now."""


class ShadowFailed(Exception):
    """The candidate fails on a batch; the text is the type of its error."""


class ShadowClient:
    """Asks the process of a shadow; one thread calls it.

    Args:
        path: The path of its socket.
    """

    def __init__(self, path: str) -> None:
        self._path = Path(path)
        self._connection: socket.socket | None = None
        self._rest_end = 0.0

    @property
    def is_there(self) -> bool:
        """Whether it is worth asking: the process listens, and the last attempt did not just fail."""
        return time.monotonic() >= self._rest_end and (self._connection is not None or self._path.exists())

    def ask(self, columns: wire.Columns) -> wire.Columns:
        """Return the answer to a batch.

        Raises:
            ShadowGone: if the process does not answer in time.
            ShadowFailed: if the candidate fails on the batch.
        """
        try:
            connection = self._connect()
            wire.send(connection, {}, columns)
            header, answer = wire.receive(connection)
        except (OSError, wire.Disconnected, ValueError) as error:
            if isinstance(error, TimeoutError):
                self._kill()
            self.close()
            self._rest_end = time.monotonic() + _REST_SECONDS
            raise ShadowGone from None
        if "error" in header:
            raise ShadowFailed(header["error"])
        return answer

    def close(self) -> None:
        """Close the connection."""
        if self._connection:
            self._connection.close()
        self._connection = None

    def _connect(self) -> socket.socket:
        if self._connection is None:
            connection = socket.socket(socket.AF_UNIX)
            connection.settimeout(ANSWER_SECONDS)
            self._connection = connection
            connect(connection, self._path)
        return self._connection

    def _kill(self) -> None:
        """End the process at the other side, which does not react."""
        if self._connection:
            pid, _, _ = struct.unpack("3i", self._connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))
            with suppress(ProcessLookupError):
                os.kill(pid, SIGKILL)

"""Connect to a Unix socket whose path may be longer than the 107 bytes that its address can hold."""

import os
import socket
from pathlib import Path

#: The folder of the open files of this process, on Linux.
_OPEN_FILES = Path("/proc/self/fd")


def connect(connection: socket.socket, path: Path) -> None:
    """Connect to the socket at a path.

    Args:
        connection: A Unix stream socket.
        path: The path.

    Raises:
        OSError: if no process listens there.
    """
    if not _OPEN_FILES.is_dir():
        connection.connect(str(path))
        return
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        connection.connect(str(_OPEN_FILES / str(folder) / path.name))
    finally:
        os.close(folder)

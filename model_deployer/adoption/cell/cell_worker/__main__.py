"""Start the worker: ``python -m cell_worker '{"fd": 3, "folder": ..., "memory_bytes": ..., "cpu_seconds": ...}'``.

With ``socket`` in place of ``fd``, it listens at that path and serves several connections. With ``batch_seconds``, the
system ends the process if the answers to one batch take longer.
"""

import json
import os
import signal
import socket
import sys
from pathlib import Path
from threading import Thread
from typing import Any

from . import wire
from .isolation import isolate
from .service import Worker


def main(settings: "dict[str, Any]") -> None:
    """Isolate this process, and serve until the other side is gone."""
    listener = _listener(settings["socket"]) if "socket" in settings else None
    isolation = isolate(settings)
    os.environ.update(TMPDIR=settings["folder"], HOME=settings["folder"])
    os.dup2(2, 1)  # what a source prints goes to the log
    sys.path.remove(str(Path(__file__).resolve().parent.parent))
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    worker = Worker(Path(settings["folder"]), settings.get("batch_seconds"))
    if listener is None:
        connection = socket.socket(fileno=settings["fd"])
        wire.send(connection, {"isolation": isolation}, {})
        worker.serve(connection)
        return
    while True:
        accepted, _ = listener.accept()
        wire.send(accepted, {"isolation": isolation}, {})
        Thread(target=worker.serve, args=(accepted,), daemon=True).start()


def _listener(path: str) -> socket.socket:
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(os.path.relpath(path))  # an address holds 107 bytes; the folder of this process is near
    listener.listen(64)
    return listener


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))

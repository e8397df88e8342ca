"""The candidate in its own process: it answers batches at a local socket.

``python -m model_deployer.serving.shadow.shadow_model SETTINGS`` starts it; :class:`ShadowSettings` are the settings,
as JSON. It has a lower priority than the server, one thread, and a limit of memory.
"""

import json
import os
import resource
import socket
import sys
import threading
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from model_deployer.adoption.cell.cell_worker import wire
from model_deployer.contract.artifact import Artifact, open_artifact
from model_deployer.contract.errors import DeployerError
from model_deployer.serving.engines.offline import OfflineModel
from model_deployer.serving.shadow.shadow_columns import table_columns

#: The priority: 0 is that of the server, 19 the lowest.
_NICE = 15

#: The kernel ends this process before any other one if the memory of the machine or container is used up.
_OOM_SCORE = 1000

#: The column of an answer that says which rows are answered, bool [rows].
ACCEPTED = "accepted"


@dataclass(frozen=True)
class ShadowSettings:
    """What the process of a shadow is started with.

    Attributes:
        champion: The folder of the model that answers callers.
        candidate: The folder of the candidate.
        socket: The path of the socket that it listens at, in its working folder.
        ignores_unknown: Whether fields that the candidate does not have are left out; otherwise they are refused.
        memory_mb: The memory that it may take, in MiB.
    """

    champion: str
    candidate: str
    socket: str
    ignores_unknown: bool
    memory_mb: int

    def to_json(self) -> str:
        """Return the settings as an argument of the program."""
        return json.dumps(asdict(self))


class ShadowModel:
    """Answers batches of rows that the champion answered.

    Args:
        champion: The model that answers callers, whose columns come in.
        candidate: The model that answers here.
        ignores_unknown: Whether fields that the candidate does not have are left out.
    """

    def __init__(self, champion: Artifact, candidate: Artifact, ignores_unknown: bool) -> None:
        self._features = champion.contract.features
        self._output = candidate.contract.output
        self._model = OfflineModel(candidate, ignores_unknown=ignores_unknown, threads=1)
        self._model.check_golden()
        self._lock = threading.Lock()

    def answer(self, columns: wire.Columns) -> dict[str, NDArray[Any]]:
        """Return which rows of a batch are accepted, and the columns of their predictions, [accepted rows] each."""
        with self._lock:
            answers = self._model.answer(table_columns(self._features, columns))
        predictions = self._output.columns(answers.outputs)
        return {ACCEPTED: answers.accepted, **{name: _array(values) for name, values in predictions.items()}}

    def serve(self, connection: socket.socket) -> None:
        """Answer the batches of one connection until its other side is gone."""
        with connection, suppress(OSError, wire.Disconnected):
            while True:
                _, columns = wire.receive(connection)
                try:
                    header, answer = {}, self.answer(columns)
                except (DeployerError, MemoryError, ValueError) as error:
                    header, answer = {"error": type(error).__name__}, {}
                wire.send(connection, header, answer)


def main(settings: ShadowSettings) -> None:
    """Load the candidate, and answer until this process is ended."""
    _take_little(settings.memory_mb)
    model = ShadowModel(
        open_artifact(Path(settings.champion)), open_artifact(Path(settings.candidate)), settings.ignores_unknown
    )
    listener = socket.socket(socket.AF_UNIX)
    path = Path(settings.socket)
    starting = path.with_suffix(".starting")
    starting.unlink(missing_ok=True)
    listener.bind(os.path.relpath(starting))  # an address holds 107 bytes; the folder of this process is near
    listener.listen(64)
    starting.rename(path)  # workers find a socket only where a loaded model answers
    while True:
        connection, _ = listener.accept()
        threading.Thread(target=model.serve, args=(connection,), daemon=True).start()


def _array(values: Sequence[str] | NDArray[Any]) -> NDArray[Any]:
    return values if isinstance(values, np.ndarray) else np.array(values, dtype=object)


def _take_little(memory_mb: int) -> None:
    os.nice(_NICE)
    with suppress(ValueError, OSError):  # not on every system
        resource.setrlimit(resource.RLIMIT_DATA, (memory_mb << 20, memory_mb << 20))
    with suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text(str(_OOM_SCORE), encoding="utf-8")


if __name__ == "__main__":
    main(ShadowSettings(**json.loads(sys.argv[1])))

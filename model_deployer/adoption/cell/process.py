"""Start the process in which a source answers, and talk to it."""

import json
import os
import socket
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from signal import SIGALRM, SIGKILL, Signals
from threading import Event
from typing import Any

from model_deployer.adoption.cell.cell_error import CellError
from model_deployer.adoption.cell.cell_worker import wire
from model_deployer.adoption.cell.environment import CellEnvironment
from model_deployer.system.gpus import VARIABLE
from model_deployer.system.janitor import owned_group, temporary_folder

#: The folder that the worker's package is in.
WORKER_FOLDER = Path(__file__).parent

#: The time that the worker may take to start; a slow disk reads numpy in seconds.
START_SECONDS = 60.0

#: The interval at which :meth:`CellProcess.wait` looks whether the process shall stop.
_WAIT_SECONDS = 0.25


@dataclass(frozen=True)
class Limits:
    """What a source may take.

    Attributes:
        memory_bytes: Its memory.
        cpu_seconds: The processor time of the process; None for no limit.
        answer_seconds: The time for one answer; loading is one.
        threads: The threads of numerical libraries.
        batch_seconds: The time for the answers to one batch; the system ends a process that takes longer. None for no
            limit.
        gpus: The GPUs that it may use, as ``CUDA_VISIBLE_DEVICES`` names them.
    """

    memory_bytes: int = 8 << 30
    cpu_seconds: int | None = 1800
    answer_seconds: float = 300.0
    threads: int = 1
    batch_seconds: float | None = None
    gpus: Sequence[str] = ()


@dataclass(frozen=True)
class Isolation:
    """What the process is kept from.

    Attributes:
        network: Whether it has no network.
        files: Whether it can write no files except temporary ones in memory.
    """

    network: bool
    files: bool

    @property
    def missing(self) -> str | None:
        """What this machine does not allow to take away, as a sentence; None if all is taken away."""
        left = [name for name, is_cut in (("the network", self.network), ("writable files", self.files)) if not is_cut]
        reason = "this system does not allow user namespaces"
        return f"the source runs with access to {' and '.join(left)}: {reason}" if left else None


class CellProcess:
    """A running worker.

    Attributes:
        isolation: What it is kept from.
        description: What the loaded source says of itself; empty before :meth:`load`.
    """

    def __init__(
        self, process: "subprocess.Popen[bytes]", connection: socket.socket, log: Path, limits: Limits
    ) -> None:
        self._process, self._connection, self._log, self._limits = process, connection, log, limits
        self.description: Mapping[str, Any] = {}
        self._start = time.monotonic()
        connection.settimeout(START_SECONDS)
        header, _ = self._receive("start")
        self.isolation = Isolation(**header["isolation"])
        connection.settimeout(limits.answer_seconds)

    @property
    def pid(self) -> int:
        """The number of the process."""
        return self._process.pid

    @property
    def exit_code(self) -> int | None:
        """How it ended: its exit code, or the negative number of the signal; None while it runs."""
        return self._process.poll()

    @property
    def seconds(self) -> float:
        """The seconds since it started."""
        return time.monotonic() - self._start

    def wait(self, stopped: Event) -> str:
        """Wait until the process ends, and return how; or until it shall stop.

        Args:
            stopped: Is set when the process is not needed any more.
        """
        while not stopped.is_set():
            with suppress(subprocess.TimeoutExpired):
                self._process.wait(_WAIT_SECONDS)
                return self._end("answer")
        return "it was stopped"

    def load(
        self, steps: Sequence[Mapping[str, Any]], definitions: Sequence[Mapping[str, str]] = ()
    ) -> Mapping[str, Any]:
        """Load a source, and return what it says of itself.

        Args:
            steps: The files in the order in which they are applied, each with its ``kind`` and ``path``; ``key`` is the
                place of the object in it, or the name of a function.
            definitions: The ``module``, ``path`` and ``code`` of scripts whose classes become those of ``__main__``,
                and of modules that are not there.

        Returns:
            ``class``, ``classes``, ``features`` (their number), ``names``, ``has_probabilities``, and ``versions``.

        Raises:
            CellError: if it cannot be loaded.
        """
        folders = sorted({str(Path(step["path"]).parent) for step in steps})
        header = {"verb": "load", "steps": list(steps), "definitions": list(definitions), "folders": folders}
        self.description, _ = self._request("load", header, {})
        return self.description

    def predict(self, columns: wire.Columns, **options: Any) -> tuple[wire.Columns, dict[int, str]]:
        """Return the answers of the source to rows.

        Args:
            columns: The rows: float64, int64 or bool [rows], or object [rows] of texts and None.
            options: ``form`` (``frame``, ``array`` or ``texts``), ``categories``, ``missing`` and ``outputs``, as
                :class:`cell_worker.table.Table` and :mod:`cell_worker.models` take them.

        Returns:
            The answers by name: ``probabilities``, ``decision``, ``scores`` or ``value``; NaN or None in refused rows.
            And by the index of each refused row, the error that the source raises.

        Raises:
            CellError: if the source does not answer.
        """
        header, answers = self._request("predict", {"verb": "predict", **options}, columns)
        return answers, {int(row): error for row, error in header["refused"].items()}

    def convert(self, kind: str, path: Path, **options: Any) -> bytes:
        """Return a source in another format: CatBoost as JSON, torch, Keras and SavedModel as ONNX.

        Raises:
            CellError: if it cannot be converted.
        """
        header = {"verb": "convert", "steps": [{"kind": kind, "path": str(path), **options}]}
        _, columns = self._request("convert", header, {})
        return bytes(columns["content"])

    def _request(
        self, action: str, header: Mapping[str, Any], columns: wire.Columns
    ) -> tuple[dict[str, Any], wire.Columns]:
        with suppress(OSError):  # the answer says why
            wire.send(self._connection, dict(header), columns)
        answer, columns = self._receive(action)
        if error := answer.get("error"):
            raise CellError(_sentence(action, error))
        return answer, columns

    def _receive(self, action: str) -> tuple[dict[str, Any], wire.Columns]:
        try:
            return wire.receive(self._connection)
        except TimeoutError:
            self._kill()
            seconds = self._connection.gettimeout()
            raise CellError(f"the source was stopped: it took more than {seconds:g} seconds to {action}") from None
        except (wire.Disconnected, OSError):
            raise CellError(self._end(action)) from None

    def _end(self, action: str) -> str:
        """Describe how the process ended."""
        self._connection.close()
        try:
            code = self._process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            self._kill()
            code = self._process.wait()
        if code == -SIGALRM:
            seconds = self._limits.batch_seconds
            return f"the process of the source was ended: it took more than {seconds:g} seconds for a batch"
        lines = self._log.read_text(encoding="utf-8", errors="replace").strip().splitlines()
        how = f"with the signal {Signals(-code).name}" if code < 0 else f"with exit code {code}"
        last = f": {lines[-1].strip()}" if lines else ""
        return f"the process of the source ended {how} when it had to {action}{last}"

    def _kill(self) -> None:
        with suppress(ProcessLookupError):
            os.killpg(self._process.pid, SIGKILL)


@contextmanager
def start_cell(environment: CellEnvironment, limits: Limits | None = None) -> Iterator[CellProcess]:
    """Start a worker in an environment, and stop it at the end of the context or when this process ends.

    Nothing of a source runs before :meth:`CellProcess.load`.

    Args:
        environment: The environment.
        limits: What the source may take; None for the defaults.

    Raises:
        CellError: if the worker does not start.
    """
    limits = limits or Limits()
    ours, theirs = socket.socketpair()
    with temporary_folder("model-deployer-cell-") as folder, ours, theirs:
        (folder / "writable").mkdir()
        settings = {
            "fd": theirs.fileno(),
            "folder": str(folder / "writable"),
            "memory_bytes": limits.memory_bytes,
            "cpu_seconds": limits.cpu_seconds,
        }
        with (folder / "log").open("wb") as log:
            process = subprocess.Popen(
                [environment.python, "-m", "cell_worker", json.dumps(settings)],
                cwd=folder / "writable",
                env=worker_variables(limits),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                pass_fds=[theirs.fileno()],
                start_new_session=True,
            )
        theirs.close()
        try:
            with owned_group(process.pid):
                yield CellProcess(process, ours, folder / "log", limits)
        finally:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, SIGKILL)
            process.wait()


def worker_variables(limits: Limits) -> dict[str, str]:
    """Return the environment variables of a worker: none of this process, which may hold secrets, but the path."""
    threads = str(limits.threads)
    names = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMEXPR_NUM_THREADS")
    return dict.fromkeys(names, threads) | {
        VARIABLE: ",".join(limits.gpus),
        "PATH": os.environ.get("PATH", os.defpath),
        "LANG": "C.UTF-8",
        "PYTHONPATH": str(WORKER_FOLDER),
        "PYTHONNOUSERSITE": "1",
        "PYTHONDONTWRITEBYTECODE": "1",
        "PYTHONWARNINGS": "ignore",
        "TF_CPP_MIN_LOG_LEVEL": "3",
    }


def _sentence(action: str, error: Mapping[str, Any]) -> str:
    """Return an error of the source as a sentence."""
    if module := error.get("module"):
        if version := error.get("version"):
            name = f"'{error['name']}' of '{module}'" if error.get("name") else f"'{module}'"
            return (
                f"the source needs {name}, which {module.partition('.')[0]} {version} does not have: list the version "
                f"that it was made with under `adopt.environment`"
            )
        if not error.get("name") and module != "__main__":
            return (
                f"the source needs the module '{module}', which is not there: hand over the folder with it, or list "
                f"all packages that the source needs under `adopt.environment`"
            )
        name = f"'{error['name']}' of the module '{module}'" if error.get("name") else f"the module '{module}'"
        return f"the source needs {name}, which is not there: hand over the folder with the script that defines it"
    place = f" ({error['place']})" if error.get("place") else ""
    if not error.get("variable"):
        return f"the source cannot {action}: {error['type']}: {error['message']}{place}"
    needs = f"the source cannot {action}: {error['place']} needs the variable '{error['variable']}', which "
    if not error["is_part"]:
        return f"{needs}is not defined there"
    how = f"is computed in {error['left_out']}" if error.get("left_out") else "the script does not define"
    return (
        f"{needs}{how}. Only imports, classes, functions and constants of a script run, not the script itself: write "
        f"the value of '{error['variable']}' there as a constant, such as a number, a text or a list"
    )

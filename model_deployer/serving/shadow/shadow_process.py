"""Start the candidate in a process of its own, and start it again when it ends. The server's parent owns it."""

import json
import logging
import os
import subprocess
import sys
import threading
import time
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from signal import SIGKILL

from model_deployer.adoption.cell.process import Limits, worker_variables
from model_deployer.contract.artifact import Artifact
from model_deployer.serving.config.settings import Settings
from model_deployer.serving.engines.source_process import ENVIRONMENTS_VARIABLE
from model_deployer.serving.shadow.shadow_model import ShadowSettings
from model_deployer.system.janitor import owned_group, temporary_folder

logger = logging.getLogger("model_deployer")

#: The variable that passes the shadow from the parent to its workers, as JSON of :class:`ShadowAddress`.
SHADOW_VARIABLE = "MODEL_DEPLOYER_SHADOW"

#: The time before the process is started again: at first, and at most, after it has ended several times.
MIN_BACK_OFF_SECONDS, MAX_BACK_OFF_SECONDS = 1.0, 60.0

_WAIT_SECONDS = 0.25


@dataclass(frozen=True)
class ShadowAddress:
    """Where a shadow answers.

    Attributes:
        candidate: The tag of the candidate.
        socket: The path of the socket.
    """

    candidate: str
    socket: str

    @classmethod
    def of_parent(cls) -> "ShadowAddress | None":
        """Return the address that the parent of this worker passed to it; None if there is no shadow."""
        text = os.environ.get(SHADOW_VARIABLE)
        return cls(**json.loads(text)) if text else None

    def variables(self) -> dict[str, str]:
        """Return the variable that passes the address to workers."""
        return {SHADOW_VARIABLE: json.dumps(asdict(self))}


@dataclass
class ShadowProcess:
    """The process of a shadow. It ends with the process that starts it.

    Args:
        candidate: The model that answers in the shadow.
        settings: The settings of the server.
    """

    candidate: Artifact
    settings: Settings
    _stopped: threading.Event = field(default_factory=threading.Event)

    def start(self) -> ShadowAddress:
        """Begin to start the process from a thread, and return its address. Callers never wait for it."""
        ready = threading.Event()
        path: list[str] = []

        def keep_running() -> None:
            with temporary_folder("model-deployer-shadow-") as folder:
                path.append(str(folder / "answering"))
                ready.set()
                self._keep_running(folder)

        threading.Thread(target=keep_running, name="shadow", daemon=True).start()
        ready.wait()
        return ShadowAddress(self.candidate.tag, path[0])

    def stop(self) -> None:
        """End the process, and do not start it again."""
        self._stopped.set()

    def _keep_running(self, folder: Path) -> None:
        back_off = MIN_BACK_OFF_SECONDS
        while not self._stopped.is_set():
            start = time.monotonic()
            code = self._run(folder)
            if self._stopped.is_set():
                return
            if time.monotonic() - start > MAX_BACK_OFF_SECONDS:
                back_off = MIN_BACK_OFF_SECONDS
            logger.error(
                "the process of the shadow has ended; it is started again",
                extra={"exit_code": code, "reason": _last_line(folder / "log"), "after_seconds": back_off},
            )
            self._stopped.wait(back_off)
            back_off = min(2 * back_off, MAX_BACK_OFF_SECONDS)

    def _run(self, folder: Path) -> int:
        """Run the process until it ends, and return its exit code."""
        settings = ShadowSettings(
            str(self.candidate.path),
            str(folder / "answering"),
            self.settings.unknown_fields == "ignore",
            self.settings.shadow_memory_mb,
        )
        with (folder / "log").open("wb") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", "model_deployer.serving.shadow.shadow_model", settings.to_json()],
                cwd=folder,
                env=_variables(),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        logger.info("the process of the shadow was started", extra={"pid": process.pid, "model": self.candidate.tag})
        with owned_group(process.pid):
            while process.poll() is None and not self._stopped.is_set():
                with suppress(subprocess.TimeoutExpired):
                    process.wait(_WAIT_SECONDS)
            with suppress(ProcessLookupError):
                os.killpg(process.pid, SIGKILL)
            code = process.wait()
        (folder / "answering").unlink(missing_ok=True)
        return code


def _variables() -> dict[str, str]:
    """Return the variables of the process: no secrets of the server, one thread, and where its packages are."""
    variables = worker_variables(Limits()) | {"PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    for name in ("HOME", "TMPDIR", "BENTOML_HOME", ENVIRONMENTS_VARIABLE):
        if name in os.environ:
            variables[name] = os.environ[name]
    return variables


def _last_line(log: Path) -> str:
    lines = log.read_text(encoding="utf-8", errors="replace").strip().splitlines()
    return lines[-1].strip()[:300] if lines else ""

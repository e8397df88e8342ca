"""The processes of a running server, seen from outside."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeVar

import psutil

T = TypeVar("T")

#: The program that BentoML starts for each worker of each service.
_WORKER = "_bentoml_impl.worker.service"

#: The library that ONNX Runtime loads to run a graph on a GPU.
_CUDA = "libonnxruntime_providers_cuda"


class Processes:
    """A server's process and all that it has started.

    Args:
        pid: Of the first of them.
    """

    def __init__(self, pid: int) -> None:
        self._first = psutil.Process(pid)

    def memory(self) -> int | None:
        """Bytes that they hold together (PSS: what several share counts by its part); None where that is not told."""
        shares = [getattr(each, "pss", None) for each in self._each(psutil.Process.memory_full_info)]
        known = [share for share in shares if share is not None]
        return sum(known) if known else None

    def seconds(self) -> float:
        """Processor time that they have used so far."""
        return float(sum(times.user + times.system for times in self._each(psutil.Process.cpu_times)))

    def workers(self) -> int:
        """How many of them answer requests."""
        return max(1, sum(service != "Runner" for service in self._services()))

    def engine(self) -> str:
        """What runs the graph, in the words of configuration.yaml: ``cpu``, ``cuda`` or ``runner``."""
        if "Runner" in self._services():
            return "runner"
        return "cuda" if any(self._each(_has_cuda)) else "cpu"

    def _services(self) -> list[str]:
        """The service of each worker."""
        commands = [command for command in self._each(psutil.Process.cmdline) if _WORKER in command]
        return [command[command.index("--service-name") + 1] for command in commands]

    def _each(self, tell: Callable[[psutil.Process], T]) -> Iterator[T]:
        """What each process says of itself; one that has just ended, or is somebody else's, says nothing."""
        for process in [self._first, *self._first.children(recursive=True)]:
            try:
                told = tell(process)
            except psutil.Error:
                continue
            yield told


def _has_cuda(process: psutil.Process) -> bool:
    maps = Path(f"/proc/{process.pid}/maps")
    return maps.exists() and _CUDA in maps.read_text(encoding="utf-8", errors="replace")

"""The processes of a running server or of its clients, inspected from outside."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeVar

import psutil

T = TypeVar("T")

#: The module that BentoML runs for each worker of each service.
_WORKER_MODULE = "_bentoml_impl.worker.service"

#: The library that ONNX Runtime loads to run a graph on a GPU.
_CUDA_LIBRARY = "libonnxruntime_providers_cuda"


class Processes:
    """A process, by default with all of its child processes.

    Args:
        pid: The id of the first process.
        has_children: Whether its child processes belong to it.
    """

    def __init__(self, pid: int, has_children: bool = True) -> None:
        self._parent = psutil.Process(pid)
        self._has_children = has_children

    def memory(self) -> int | None:
        """Return the bytes of memory of all processes (PSS: shared pages are divided); None if not reported."""
        reports = self._query(psutil.Process.memory_full_info)
        sizes = [report.pss for report in reports if getattr(report, "pss", None) is not None]
        return sum(sizes) if sizes else None

    def seconds(self) -> float:
        """Return the processor time that the processes have used so far."""
        return float(sum(times.user + times.system for times in self._query(psutil.Process.cpu_times)))

    def workers(self) -> int:
        """Return the number of processes that answer requests."""
        return max(1, sum(service != "Runner" for service in self._services()))

    def engine(self) -> str:
        """Return the engine that runs the graph, as in configuration.yaml: ``cpu``, ``cuda`` or ``runner``."""
        if "Runner" in self._services():
            return "runner"
        return "cuda" if any(self._query(_has_cuda)) else "cpu"

    def _services(self) -> list[str]:
        """Return the service of each worker."""
        commands = [command for command in self._query(psutil.Process.cmdline) if _WORKER_MODULE in command]
        return [command[command.index("--service-name") + 1] for command in commands]

    def _query(self, query: Callable[[psutil.Process], T]) -> Iterator[T]:
        """Yield a property of each process, without processes that have ended or that this user may not inspect."""
        children = self._parent.children(recursive=True) if self._has_children else []
        for process in [self._parent, *children]:
            try:
                value = query(process)
            except psutil.Error:
                continue
            yield value


def _has_cuda(process: psutil.Process) -> bool:
    maps = Path(f"/proc/{process.pid}/maps")
    return maps.exists() and _CUDA_LIBRARY in maps.read_text(encoding="utf-8", errors="replace")

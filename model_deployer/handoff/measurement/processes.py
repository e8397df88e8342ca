"""The processes of a running server or of its clients, inspected from outside."""

import itertools
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeVar

import psutil

T = TypeVar("T")

#: The module that BentoML runs for each worker of each service.
_WORKER_MODULE = "_bentoml_impl.worker.service"

#: The module that the process of a source runs.
_SOURCE_MODULE = "cell_worker"

#: The library that ONNX Runtime loads to run a graph on a GPU.
_CUDA_LIBRARY = "libonnxruntime_providers_cuda"


class Processes:
    """Processes, by default with all of their child processes.

    Args:
        pids: The ids of the first processes.
        has_children: Whether their child processes belong to them.
    """

    def __init__(self, *pids: int, has_children: bool = True) -> None:
        self._parents = [psutil.Process(pid) for pid in pids]
        self._has_children = has_children

    def with_process(self, pid: int) -> "Processes":
        """Return these processes and another one."""
        return Processes(*(parent.pid for parent in self._parents), pid, has_children=self._has_children)

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
        """Return the engine that answers: ``cpu``, ``cuda`` or ``runner`` for a graph, ``source`` for its source."""
        if "Runner" in self._services():
            return "runner"
        if any(_SOURCE_MODULE in command for command in self._query(psutil.Process.cmdline)):
            return "source"
        return "cuda" if any(self._query(_has_cuda)) else "cpu"

    def _services(self) -> list[str]:
        """Return the service of each worker."""
        commands = [command for command in self._query(psutil.Process.cmdline) if _WORKER_MODULE in command]
        return [command[command.index("--service-name") + 1] for command in commands]

    def _query(self, query: Callable[[psutil.Process], T]) -> Iterator[T]:
        """Yield a property of each process, without processes that have ended or that this user may not inspect."""
        children = (parent.children(recursive=True) for parent in self._parents) if self._has_children else ()
        for process in [*self._parents, *itertools.chain.from_iterable(children)]:
            try:
                value = query(process)
            except psutil.Error:
                continue
            yield value


def _has_cuda(process: psutil.Process) -> bool:
    maps = Path(f"/proc/{process.pid}/maps")
    return maps.exists() and _CUDA_LIBRARY in maps.read_text(encoding="utf-8", errors="replace")

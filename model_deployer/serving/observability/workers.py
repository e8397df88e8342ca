"""The processes of a server: one parent, and the workers that it starts and starts again.

BentoML's parent is a circus arbiter. What it notices about its workers is logged and counted here.
"""

import asyncio
import os
import signal
import threading
import time
from collections.abc import Callable, Mapping
from typing import Any, Literal

import psutil
from circus.sighandler import SysHandler
from circus.watcher import Watcher

from model_deployer.serving.observability import metric_files, metric_specs
from model_deployer.serving.observability.logs import logger
from model_deployer.serving.observability.metric_files import ParentCounters
from model_deployer.serving.observability.metric_specs import MetricSpec

#: The variable that passes the process id of the parent to its workers.
_PARENT_VARIABLE = "MODEL_DEPLOYER_PARENT"

#: The interval between two signs of life of a worker.
_SIGN_INTERVAL_SECONDS = 1.0

#: How long a worker may show no sign of life, and the interval at which the parent looks for them.
STALL_SECONDS = 10.0
_CHECK_INTERVAL_SECONDS = 5.0


#: BentoML's name of the watcher for the workers that answer requests.
_SERVICE = "service"

#: How workers usually end: these counts exist from the start, so that Prometheus sees the first end as an increase.
_USUAL_REASONS = ("SIGKILL", "SIGSEGV", "SIGBUS", "SIGABRT", "SIGTERM", "exit_1")

_USUAL_SOURCE_REASONS = ("SIGKILL", "SIGSEGV", "SIGABRT", "SIGALRM", "exit_1")


def become_parent() -> None:
    """Note that the processes that this one starts are workers."""
    os.environ[_PARENT_VARIABLE] = str(os.getpid())


def is_worker() -> bool:
    """Return whether a parent of a server started this process."""
    return os.environ.get(_PARENT_VARIABLE) == str(os.getppid())


def show_life_regularly(show_life: Callable[[], None]) -> None:
    """Call ``show_life`` every second in the running event loop, and stop this worker if its parent has ended.

    Without its parent, a worker would hold the port, and no later server could listen there.
    """
    loop = asyncio.get_running_loop()
    parent = os.getppid()

    def show() -> None:
        if os.getppid() != parent:
            logger.error("the parent of this worker has ended, so the worker stops")
            signal.raise_signal(signal.SIGTERM)
            return
        show_life()
        loop.call_later(_SIGN_INTERVAL_SECONDS, show)

    show()


class WorkerWatch:
    """Logs and counts the starts, ends and stalls of the workers of this process."""

    def __init__(self) -> None:
        self._folder = metric_files.shared_folder()
        self._counters = ParentCounters(self._folder) if self._folder else None
        self._stalled: set[int] = set()
        self._expected_ends: set[int] = set()
        for spec in (metric_specs.WORKER_STARTS, metric_specs.WORKER_RESTARTS, metric_specs.WORKER_STALLS):
            self._count(spec, amount=0)
        for reason in _USUAL_REASONS:
            self._count(metric_specs.WORKER_ENDS, reason, amount=0)

    def start(self, on_start: Callable[[Watcher], None] | None = None) -> None:
        """Watch the workers that circus starts from now on.

        Args:
            on_start: Is called in the event loop of circus once it has started all workers of the service.
        """
        notify = Watcher.notify_event

        def notify_event(watcher: Watcher, topic: str, event: Mapping[str, Any]) -> None:
            notify(watcher, topic, event)
            if topic == "spawn":
                self._record_start(watcher, event)
            elif topic == "reap":
                self._record_end(watcher, event)
            elif topic == "start" and watcher.name == _SERVICE and on_start:
                on_start(watcher)

        Watcher.notify_event = notify_event
        # circus would restart all workers at the same time.
        SysHandler.handle_hup = _ignore_hangup
        threading.Thread(target=self._look_for_stalls, name="stalls", daemon=True).start()

    def _record_start(self, watcher: Watcher, event: Mapping[str, Any]) -> None:
        logger.info("worker started", extra={"pid": event["process_pid"], "service": watcher.name})
        self._count(metric_specs.WORKER_STARTS)

    def _record_end(self, watcher: Watcher, event: Mapping[str, Any]) -> None:
        reason = _reason(event.get("exit_code"))
        line = {"pid": event["process_pid"], "service": watcher.name, "reason": reason}
        if watcher.is_stopping() or watcher.is_stopped() or event["process_pid"] in self._expected_ends:
            self._expected_ends.discard(event["process_pid"])
            logger.info("worker ended", extra=line)
            return
        logger.error("worker ended unexpectedly", extra=line | {"is_restarted": watcher.respawn})
        self._count(metric_specs.WORKER_ENDS, reason)
        if watcher.respawn:
            self._count(metric_specs.WORKER_RESTARTS)

    def expect_end(self, pid: int) -> None:
        """Note that a worker is about to end because it was asked to, or after it has reported why."""
        self._expected_ends.add(pid)

    def count_rollout(self, result: Literal["done", "failed"], amount: int = 1) -> None:
        """Count a change of the model that the server serves."""
        self._count(metric_specs.ROLLOUTS, result, amount=amount)

    def record_stalls(self, now: float) -> None:
        """Log and count the workers that show no sign of life any more.

        Args:
            now: The time in seconds since the epoch.
        """
        workers = metric_files.occupants(self._folder) if self._folder else []
        silent = {worker.pid for worker in workers if worker.last_sign and now - worker.last_sign > STALL_SECONDS}
        for pid in silent - self._stalled:
            logger.error("worker does not react", extra={"pid": pid, "state": _state(pid)})
            self._count(metric_specs.WORKER_STALLS)
        for pid in self._stalled - silent:
            logger.info("worker reacts again, or has ended", extra={"pid": pid})
        self._stalled = silent

    def count_source_ends(self) -> Callable[[int | None], None]:
        """Return the function that counts an end of the process of a model, by its exit code."""
        for reason in _USUAL_SOURCE_REASONS:
            self._count(metric_specs.SOURCE_ENDS, reason, amount=0)
        return lambda exit_code: self._count(metric_specs.SOURCE_ENDS, _reason(exit_code))

    def _look_for_stalls(self) -> None:
        while True:
            time.sleep(_CHECK_INTERVAL_SECONDS)
            self.record_stalls(time.time())

    def _count(self, spec: MetricSpec, *labels: str, amount: int = 1) -> None:
        if self._counters:
            self._counters.add(spec, *labels, amount=amount)


def _reason(exit_code: int | None) -> str:
    """Return the name of the signal that ended a process, or its exit code: ``SIGKILL``, ``exit_1``."""
    if exit_code is None:
        return "unknown"
    return signal.Signals(-exit_code).name if exit_code < 0 else f"exit_{exit_code}"


def _state(pid: int) -> str:
    try:
        return str(psutil.Process(pid).status())
    except psutil.Error:
        return "ended"


def _ignore_hangup(handler: SysHandler) -> None:
    logger.warning("SIGHUP has no effect; to use new settings, start another server and stop this one")

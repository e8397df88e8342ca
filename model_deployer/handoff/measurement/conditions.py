"""What else a machine does during a measurement: other processes, other virtual machines, the clients themselves."""

import os
import time
from dataclasses import dataclass
from typing import Any

import psutil

from model_deployer.handoff.measurement.processes import Processes
from model_deployer.package.measurements import Conditions


@dataclass(frozen=True)
class Usage:
    """The use of the processor during a measurement.

    Attributes:
        server_cores: The average number of cores that the server kept busy.
        conditions: What else happened on the machine.
    """

    server_cores: float
    conditions: Conditions


class UsageMeter:
    """Counts processor time from its creation on.

    Args:
        server: The processes of the server.
        clients: The processes of the clients.
    """

    def __init__(self, server: Processes, clients: Processes) -> None:
        self._server = server
        self._clients = clients
        self._load_average = _load_average()
        self._start = self._read()

    def stop(self) -> Usage:
        """Return the use of the processor since the creation of the meter."""
        before, after = self._start, self._read()
        seconds = after.clock - before.clock
        server, clients = after.server - before.server, after.clients - before.clients
        others = max(0.0, after.used - before.used - server - clients)
        all_cores = seconds * (psutil.cpu_count() or 1)
        return Usage(
            server_cores=round(server / seconds, 2),
            conditions=Conditions(
                load_average=self._load_average,
                others_share=round(others / all_cores, 3),
                steal_share=round((after.stolen - before.stolen) / all_cores, 3),
                client_cores=round(clients / seconds, 2),
                megahertz=_megahertz(),
            ),
        )

    def _read(self) -> "_Counters":
        times: Any = psutil.cpu_times()
        return _Counters(
            clock=time.perf_counter(),
            used=times.user + getattr(times, "nice", 0.0) + times.system,
            stolen=getattr(times, "steal", 0.0),
            server=self._server.seconds(),
            clients=self._clients.seconds(),
        )


@dataclass(frozen=True)
class _Counters:
    """Seconds since some moment: of the clock, and of processor time.

    Attributes:
        clock: The time of the reading.
        used: The time that all processes of the machine have used, without interrupts, which the load itself causes.
        stolen: The time that the hypervisor gave to other virtual machines.
        server, clients: The time that these processes have used.
    """

    clock: float
    used: float
    stolen: float
    server: float
    clients: float


def _load_average() -> float | None:
    return round(os.getloadavg()[0], 2) if hasattr(os, "getloadavg") else None


def _megahertz() -> float | None:
    try:
        frequency = psutil.cpu_freq()
    except (AttributeError, NotImplementedError, OSError):  # the system does not report it
        return None
    return round(frequency.current) if frequency and frequency.current else None

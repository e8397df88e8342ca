"""Workloads of models that were never trained."""

import re
from dataclasses import replace
from typing import Any

from hypothesis import strategies as st

from model_deployer.deployment.workload import Workload
from model_deployer.package.measurements import Latency, Measurements
from tests.support import tiny
from tests.support.observed import BUSY, MEASURED, MIB, latency, package_data

IMAGE = "registry.example/models/served:1.0.0"


def workload(
    measured: Measurements = MEASURED, load: float | None = 10_000, image: str = IMAGE, **fields: Any
) -> Workload:
    """A workload; ``fields`` are passed on to :func:`package_data`."""
    return Workload(replace(package_data(**fields), measured=measured), image, load)


def _without_cores(steps: tuple[Latency, ...]) -> tuple[Latency, ...]:
    return tuple(step.model_copy(update={"cores": None}) for step in steps)


#: Measurements on a machine that reports neither memory nor cores.
UNKNOWN = MEASURED.model_copy(
    update={
        "memory_ready_bytes": None,
        "memory_loaded_bytes": None,
        "by_rows": _without_cores(MEASURED.by_rows),
        "by_load": _without_cores(MEASURED.by_load),
    }
)

#: A model whose name no platform accepts, with a time limit of its own.
ODD = workload(
    name="4_Cars.of the_World" * 5,
    contract=tiny.CONTRACT.model_copy(
        update={"limits": tiny.CONTRACT.limits.model_copy(update={"timeout_seconds": 59.5})}
    ),
)

ALL = {"measured": workload(), "unknown": workload(UNKNOWN), "odd": ODD, "busy": workload(BUSY, load=None)}

#: The measurements of any server.
measurements = st.builds(
    lambda rate, p99, cores, memory, start: MEASURED.model_copy(
        update={
            "by_load": (latency(4, rate, p99, cores=cores),),
            "memory_loaded_bytes": memory,
            "cold_start_seconds": start,
        }
    ),
    rate=st.floats(1, 1e5),
    p99=st.floats(0.1, 1e4),
    cores=st.integers(0, 6400).map(lambda hundredths: hundredths / 100),
    memory=st.integers(MIB, 64 * 1024 * MIB),
    start=st.floats(0.1, 600),
)

_UNITS = {"": 1.0, "m": 0.001, "Ki": 2.0**10, "Mi": 2.0**20, "Gi": 2.0**30}


def quantity(text: str) -> float:
    """A quantity of Kubernetes as a number; a quantity that Kubernetes cannot read fails."""
    match = re.fullmatch(r"(\d+)(|m|Ki|Mi|Gi)", text)
    assert match, text
    return int(match[1]) * _UNITS[match[2]]

"""What the definitions are written of: models that were never trained, under a load."""

import re
from dataclasses import replace
from typing import Any

from hypothesis import strategies as st

from model_deployer.deployment.workload import Workload
from model_deployer.package.measurements import Latency, Measurements
from tests.support import tiny
from tests.support.observed import MEASURED, MIB, facts, latency

IMAGE = "registry.example/models/served:1.0.0"


def workload(measured: Measurements = MEASURED, load: float = 10_000, image: str = IMAGE, **said: Any) -> Workload:
    """Under a load; ``said`` of the model's manifest."""
    return Workload(replace(facts(**said), measured=measured), image, load)


def _unknown(steps: tuple[Latency, ...]) -> tuple[Latency, ...]:
    return tuple(step.model_copy(update={"cores": None}) for step in steps)


#: Measured on a machine that tells neither of memory nor of cores.
UNKNOWN = MEASURED.model_copy(
    update={
        "memory_ready_bytes": None,
        "memory_loaded_bytes": None,
        "by_rows": _unknown(MEASURED.by_rows),
        "by_load": _unknown(MEASURED.by_load),
    }
)

#: A model with another name than platforms take, and a limit of its own.
ODD = workload(
    name="4_Cars.of the_World" * 5,
    contract=tiny.CONTRACT.model_copy(
        update={"limits": tiny.CONTRACT.limits.model_copy(update={"timeout_seconds": 59.5})}
    ),
)

ALL = {"measured": workload(), "unknown": workload(UNKNOWN), "odd": ODD}

#: Any server that was measured.
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
    cores=st.floats(0, 64),
    memory=st.integers(MIB, 64 * 1024 * MIB),
    start=st.floats(0.1, 600),
)

_UNITS = {"": 1.0, "m": 0.001, "Ki": 2.0**10, "Mi": 2.0**20, "Gi": 2.0**30}


def quantity(text: str) -> float:
    """A quantity of Kubernetes as a number; those that it does not read are refused."""
    found = re.fullmatch(r"(\d+)(|m|Ki|Mi|Gi)", text)
    assert found, text
    return int(found[1]) * _UNITS[found[2]]

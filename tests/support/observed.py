"""Package data for monitoring and sizing, of models that were never trained."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from model_deployer.contract.artifact import Manifest, Provenance
from model_deployer.contract.contract import Contract
from model_deployer.contract.evaluation import Evaluation
from model_deployer.contract.reference import Reference
from model_deployer.contract.source_runner import SourceRunner, SourceStep
from model_deployer.package.measurements import (
    Conditions,
    LargestRequests,
    Latency,
    Machine,
    Measurements,
    RelativeLatency,
)
from model_deployer.package.package_data import PackageData
from model_deployer.package.samples import Samples
from tests.support import tiny

MIB = 1024 * 1024


def latency(clients: int, per_second: float, p99: float, **fields: Any) -> Latency:
    """The latency of concurrent clients with one-row requests; ``fields`` override the defaults."""
    requests = round(3 * per_second)
    defaults = {"rows": 1, "requests": requests, "failures": 0, "seconds": 3.0, "p50": p99 / 4, "p95": p99 / 2}
    return Latency(**{**defaults, "clients": clients, "p99": p99, "requests_per_second": per_second, **fields})


QUIET = Conditions(load_average=0.5, others_share=0.01, steal_share=0.0, client_cores=0.4, megahertz=2600)
DISTURBED = Conditions(load_average=7.5, others_share=0.34, steal_share=0.03, client_cores=0.4, megahertz=2600)


def relative(step: Latency) -> RelativeLatency:
    """The latency of this load next to a reference server that is four times as fast."""
    return RelativeLatency(
        clients=step.clients,
        p50=step.p50,
        p99=step.p99,
        reference_p50=step.p50 / 4,
        ratio=4.0,
        low=3.5,
        high=4.5,
        blocks=7,
        conditions=QUIET,
    )


#: A source that answers itself.
RUNNER = SourceRunner(
    python="3.11",
    requirements=("numpy==2.4.6", "scikit-learn==1.9.1"),
    steps=(SourceStep(kind="pickle", path="model.pkl"),),
    answer="probabilities",
)

ONE_CLIENT = latency(1, 1234.5, 1.5, cores=0.3, conditions=QUIET)

MEASURED = Measurements(
    machine=Machine(processor="Example 9000", cores=2, memory_bytes=8 * 1024 * MIB, system="Linux", python="3.12.1"),
    when=datetime(2026, 1, 2, 4, tzinfo=UTC),
    engine="cpu",
    workers=1,
    cold_start_seconds=3.456,
    memory_ready_bytes=200 * MIB,
    memory_loaded_bytes=300 * MIB,
    by_rows=(ONE_CLIENT, latency(1, 50, 77.0, rows=100)),
    by_load=(
        ONE_CLIENT,
        latency(4, 2600, 3.2, cores=0.8),
        latency(16, 4321, 9.5, cores=1.04, conditions=QUIET),
        latency(64, 4200, 31.0),
    ),
    relative=(relative(ONE_CLIENT), relative(latency(16, 4321, 9.5))),
    largest=LargestRequests(rows=10_000, body_bytes=16 * MIB, clients=16, answered=20, refused=58),
)


def _disturbed(steps: tuple[Latency, ...]) -> tuple[Latency, ...]:
    return tuple(step.model_copy(update={"conditions": DISTURBED, "attempts": 3, "busy": True}) for step in steps)


#: The same on a machine that other processes used, in each of three attempts.
BUSY = MEASURED.model_copy(
    update={
        "by_rows": _disturbed(MEASURED.by_rows),
        "by_load": _disturbed(MEASURED.by_load),
        "relative": tuple(
            load.model_copy(update={"conditions": DISTURBED, "attempts": 3, "busy": True}) for load in MEASURED.relative
        ),
    }
)


def package_data(
    contract: Contract = tiny.CONTRACT,
    reference: Mapping[str, Any] | None = tiny.REFERENCE,
    evaluation: Mapping[str, Any] = tiny.EVALUATION,
    **fields: Any,
) -> PackageData:
    """The data of a package; ``fields`` are those of its manifest."""
    defaults = {"name": "served", "version": "1.0.0", "created": datetime(2024, 1, 1, tzinfo=UTC), "tolerance": 1e-5}
    origin = Provenance(data_version="sha256:0", seed=0, python="3", libraries={})
    return PackageData(
        manifest=Manifest(**{**defaults, "origin": origin, **fields}),
        contract=contract,
        evaluation=Evaluation.model_validate(tiny.EVALUATION | {"task": contract.output.task} | dict(evaluation)),
        reference=None if reference is None else Reference.model_validate(reference),
        formats=(),
        measured=MEASURED,
        samples=Samples(model={}, tolerance=1e-5, golden=(), edge=(), invalid=()),
        clients=(),
        changes=(),
        endpoints=(),
        is_verified=True,
    )

"""The facts that monitoring and sizing follow from, of models that were never trained."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from model_deployer.contract.artifact import Manifest, Provenance
from model_deployer.contract.contract import Contract
from model_deployer.contract.evaluation import Evaluation
from model_deployer.contract.reference import Reference
from model_deployer.package.measurements import Latency, Machine, Measurements
from model_deployer.package.package_data import PackageData
from model_deployer.package.samples import Samples
from tests.support import tiny

MIB = 1024 * 1024


def latency(clients: int, per_second: float, p99: float, **said: Any) -> Latency:
    """What so many clients saw, with requests of one row."""
    known = {"rows": 1, "requests": 3000, "failures": 0, "seconds": 3.0, "p50": p99 / 4, "p95": p99 / 2}
    return Latency(**{**known, "clients": clients, "p99": p99, "requests_per_second": per_second, **said})


ONE = latency(1, 1234.5, 1.5, cores=0.3)

MEASURED = Measurements(
    machine=Machine(processor="Example 9000", cores=2, memory_bytes=8 * 1024 * MIB, system="Linux", python="3.12.1"),
    when=datetime(2026, 1, 2, 4, tzinfo=UTC),
    engine="cpu",
    workers=1,
    cold_start_seconds=3.456,
    memory_ready_bytes=200 * MIB,
    memory_loaded_bytes=300 * MIB,
    by_rows=(ONE, latency(1, 50, 77.0, rows=100)),
    by_load=(ONE, latency(4, 2600, 3.2, cores=0.8), latency(16, 4321, 9.5, cores=1.04), latency(64, 4200, 31.0)),
)


def facts(
    contract: Contract = tiny.CONTRACT,
    reference: Mapping[str, Any] | None = tiny.REFERENCE,
    evaluation: Mapping[str, Any] = tiny.EVALUATION,
    **said: Any,
) -> PackageData:
    """Of a package of such a model; ``said`` of its manifest."""
    known = {"name": "served", "version": "1.0.0", "created": datetime(2024, 1, 1, tzinfo=UTC), "tolerance": 1e-5}
    origin = Provenance(data_version="sha256:0", seed=0, python="3", libraries={})
    return PackageData(
        manifest=Manifest(**{**known, "origin": origin, **said}),
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

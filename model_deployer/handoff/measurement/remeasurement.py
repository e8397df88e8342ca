"""Measure the server of a package; ``benchmarks/measure.py`` does it, when the package is written and ever after."""

import json
import shlex
import sys
from collections.abc import Iterator
from pathlib import Path

from model_deployer.contract.contract import Contract
from model_deployer.handoff.measurement import server_measurement
from model_deployer.handoff.measurement.comparison import TOLERANCE, differences, reasons
from model_deployer.handoff.sandbox.server import run_server
from model_deployer.package.measurements import Measurements, RelativeMeasurements
from model_deployer.package.samples import Samples
from model_deployer.package.sizing import Sizing, sizes


def remeasure(
    package: Path, url: str | None, pid: int | None, cold_start_seconds: float, seconds: float
) -> Measurements:
    """Measure a server with the requests of a package.

    Args:
        package: The folder of the package.
        url: The URL of a server on this machine; None to start the server of the package.
        pid: The id of the first process of the server at ``url``.
        cold_start_seconds: How long that server took to become ready.
        seconds: How long each load is measured.

    Raises:
        EnvironmentFault: If the server does not start, or does not answer.
    """
    server_measurement.SECONDS = seconds
    samples, contract = _samples(package), _contract(package)
    if url is not None and pid is not None:
        return server_measurement.measure(url, pid, samples, cold_start_seconds, contract)
    serve = [sys.executable, "-m", "bentoml", "serve", str(package / "bento")]
    # The package stays as it is: a folder __pycache__ would be a file that its checksums do not name.
    command = shlex.join(["env", "PYTHONDONTWRITEBYTECODE=1", *serve])
    with run_server(command, package) as server:
        return server_measurement.measure(server.url, server.process.pid, samples, server.cold_start_seconds, contract)


def remeasure_relative(package: Path, url: str, pid: int) -> RelativeMeasurements:
    """Measure the latencies again that a package states as multiples of those of a reference server.

    Args:
        package: The folder of the package.
        url: The URL of a server on this machine.
        pid: The id of its first process.

    Raises:
        EnvironmentFault: If it does not answer.
    """
    clients = [load.clients for load in _packaged(package).relative]
    return server_measurement.measure_relative(url, pid, _samples(package), _contract(package), clients)


def report(package: Path, measured: Measurements) -> str:
    """Return the comparison of a new measurement with that of the package, and the sizing that follows from it."""
    return "\n".join([*_comparison(_packaged(package), measured), "", *_sizing(package, measured)])


def _comparison(packaged: Measurements, measured: Measurements) -> Iterator[str]:
    compared = list(differences(packaged, measured))
    yield "In the package -> on this machine:"
    yield from (f"  {difference}" for difference in compared)
    apart = [difference for difference in compared if not difference.is_within]
    if not apart:
        yield f"Every figure agrees within {TOLERANCE:.0%}, or within the range of its blocks."
        return
    yield (
        f"{len(apart)} of {len(compared)} figures differ by more than {TOLERANCE:.0%}, and by more than the range of "
        "their blocks. What can explain it:"
    )
    why = list(reasons(packaged, measured)) or ["nothing that was recorded; measure again"]
    yield from (f"  - {reason}" for reason in why)


def _sizing(package: Path, measured: Measurements) -> Iterator[str]:
    if measured.is_busy:
        yield f"The machine was busy: {measured.others}. Sizing that depends on its speed is withheld:"
    else:
        yield "Sizing for this machine:"
    for name, figure, formula in sizes(Sizing(measured, _contract(package).limits.timeout_seconds)):
        yield f"  {name}: {figure} ({formula})"


def _packaged(package: Path) -> Measurements:
    return Measurements.model_validate_json((package / "benchmarks" / "measurements.json").read_bytes())


def _samples(package: Path) -> Samples:
    return Samples.model_validate_json((package / "examples" / "sample_requests.json").read_bytes())


def _contract(package: Path) -> Contract:
    return Contract.model_validate(json.loads((package / "model" / "model_metadata.json").read_bytes())["contract"])

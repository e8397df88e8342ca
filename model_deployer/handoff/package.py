"""`deployer handoff`, top to bottom: write the handoff package of a model, run everything in it, and verify it."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey

from model_deployer.contract import store
from model_deployer.contract.artifact import NO_TABLE, PLOTS, Artifact, write_json
from model_deployer.contract.errors import UsageError
from model_deployer.deployment.targets import write_definitions
from model_deployer.handoff import specification
from model_deployer.handoff.attestation import write_attestation
from model_deployer.handoff.changes import changes
from model_deployer.handoff.checksums import write_checksums
from model_deployer.handoff.clients.clients import run_clients, write_clients
from model_deployer.handoff.documents.documents import write_documents
from model_deployer.handoff.formats.formats import Formats
from model_deployer.handoff.formats.graph_facts import graph_facts
from model_deployer.handoff.formats.holdout import HoldoutRows, read_holdout_rows
from model_deployer.handoff.formats.parity import write_parity
from model_deployer.handoff.formats.service_replay import replay_service
from model_deployer.handoff.formats.source_files import write_source
from model_deployer.handoff.holdout_sample import write_holdout
from model_deployer.handoff.measurement.program import run_program, write_program
from model_deployer.handoff.platform_hashes import other_platforms, tested_platform
from model_deployer.handoff.programs import write_programs
from model_deployer.handoff.requirements import (
    write_dockerfile,
    write_environment,
    write_hashed_requirements,
    write_requirements,
    write_source_requirements,
)
from model_deployer.handoff.sample_requests import collect_samples
from model_deployer.handoff.sandbox.environment import CleanEnvironment, temporary_environment
from model_deployer.handoff.sandbox.sbom import write_sbom
from model_deployer.handoff.sandbox.server import Server, run_server
from model_deployer.handoff.sandbox.source_environment import install_source
from model_deployer.handoff.verification import Options as Verify
from model_deployer.handoff.verification import raise_for_failures, verify, write_verification
from model_deployer.image.bento import write_bento
from model_deployer.monitoring.monitoring import write_monitoring
from model_deployer.package import package_data
from model_deployer.package.formats import Format
from model_deployer.package.readme_commands import SERVE
from model_deployer.package.samples import Samples
from model_deployer.package.staging import staging
from model_deployer.system.progress import print_line, step

#: The definition that gRPC clients are generated from.
PROTO = "open_inference.proto"


@dataclass(frozen=True)
class _WrittenFormats:
    """The formats that were written, and the test rows that they were replayed on."""

    formats: list[Format]
    test: HoldoutRows | None


@dataclass(frozen=True)
class PackageOptions:
    """How a package is written.

    Attributes:
        spec: The model.yaml next to the table that the model was trained on; None for the one that the store
            remembers. If that one no longer exists, formats are replayed on the golden requests only.
        is_verified: Whether to verify the package. If not, every document says so.
        key: The key to sign the package with; None to sign nothing.
        runbook_url: The absolute URL at which monitoring/RUNBOOK.md will be published; None if it will not.
    """

    spec: Path | None = None
    is_verified: bool = True
    key: EllipticCurvePrivateKey | None = None
    runbook_url: str | None = None


def write_package(artifact: Artifact, target: Path, options: PackageOptions) -> None:
    """Write the package of a model into ``target``; after a failure, the folder is unchanged.

    Args:
        artifact: The model.
        target: A folder that does not exist or is empty.
        options: How to write it.

    Raises:
        UsageError: If the folder is not empty, ``spec`` does not belong to the model, or the URL is not absolute.
        CheckFailed: If a check of the package failed.
        EnvironmentFault: If this machine lacks something that is needed.
    """
    with staging(target) as folder, temporary_environment() as environment:
        package_data.write_metadata(artifact, options.is_verified, folder, options.runbook_url)
        written = _write_model(artifact, folder, _test_rows(artifact, options.spec))
        _write_bento(artifact, folder)
        _write_static_files(artifact, folder)
        _write_holdout(artifact, folder, written.test)
        write_json(folder / package_data.CHANGES, {"versions": changes(artifact)})
        _install(artifact, folder, environment)
        with _serving(environment) as server:
            samples = _send_requests(artifact, folder, server)
            _replay(artifact, folder, server, samples, written)
            _measure(folder, environment, server)
            _run_clients(artifact, folder, server)
        _write_documents(folder)
        if options.is_verified:
            verification = verify(folder, Verify(is_signed_later=options.key is not None), environment)
            raise_for_failures(verification)
            write_verification(verification, folder)
            write_checksums(folder)
        if options.key:
            write_attestation(folder, options.key, options.is_verified)


def _write_model(artifact: Artifact, folder: Path, test: HoldoutRows | None) -> _WrittenFormats:
    with step("formats") as current:
        if artifact.runner:
            formats = write_source(artifact, artifact.runner, folder)
            current.detail = "the files of the source, which the service asks; there is no graph"
        else:
            formats = Formats(artifact, folder, test).write()
            names = [format_.name for format_ in formats if not format_.withheld]
            current.detail = f"{', '.join(names)}: replayed on {_rows(test)}"
    if (artifact.path / PLOTS).is_dir():
        shutil.copytree(artifact.path / PLOTS, folder / "model" / PLOTS, copy_function=shutil.copyfile)
    return _WrittenFormats(formats, test)


def _rows(test: HoldoutRows | None) -> str:
    if test is None:
        return "the golden requests; the table with the test rows is not available"
    return f"the golden requests and {len(test):,} test rows"


def _write_bento(artifact: Artifact, folder: Path) -> None:
    with step("bento") as current:
        write_bento(artifact, folder / "bento")
        current.detail = "built, including the model"


def _write_static_files(artifact: Artifact, folder: Path) -> None:
    """Write the files that do not depend on the model, and those of the environment."""
    write_programs(folder, is_graph=artifact.runner is None)
    write_program(folder)
    (folder / "proto").mkdir()
    shutil.copyfile(folder / "bento/src/model_deployer/serving/grpc" / PROTO, folder / "proto" / PROTO)
    write_requirements(folder)
    if artifact.runner:
        write_source_requirements(folder, artifact.runner)
    write_environment(folder, artifact.manifest.name)
    write_dockerfile(folder)


def _install(artifact: Artifact, folder: Path, environment: CleanEnvironment) -> None:
    with step("environment") as current:
        environment.copy(folder)
        environment.install()
        write_hashed_requirements(folder, tested_platform(environment), other_platforms(environment))
        source = install_source(environment, artifact.runner) if artifact.runner else None
        write_sbom(folder, environment, artifact, source)
        of_source = f", {len(artifact.runner.requirements)} in that of the source" if artifact.runner else ""
        current.detail = f"{len(environment.installed())} packages in a clean environment{of_source}"


@contextmanager
def _serving(environment: CleanEnvironment) -> Iterator[Server]:
    with run_server(SERVE, environment.folder) as server:
        print_line("server", f"the package's own Bento, ready after {server.cold_start_seconds:.1f} s")
        yield server


def _write_holdout(artifact: Artifact, folder: Path, test: HoldoutRows | None) -> None:
    with step("holdout") as current:
        current.detail = write_holdout(artifact, folder, test)


def _send_requests(artifact: Artifact, folder: Path, server: Server) -> Samples:
    with step("requests") as current:
        samples = collect_samples(server.url, artifact)
        write_json(folder / package_data.SAMPLES, samples.model_dump(mode="json"))
        (folder / "docs").mkdir(exist_ok=True)
        specification.write(specification.fetch(server.url), folder)
        answered = len(samples.golden) + len(samples.edge)
        current.detail = f"{answered} answered and {len(samples.invalid)} refused, as expected"
    return samples


def _replay(artifact: Artifact, folder: Path, server: Server, samples: Samples, written: _WrittenFormats) -> None:
    with step("service") as current:
        format_ = replay_service(server.url, artifact, samples, written.test)
        graph = None if artifact.runner else graph_facts(artifact)
        write_parity(folder / package_data.PARITY, [format_, *written.formats], graph)
        current.detail = f"replayed on {_rows(written.test)}"


def _measure(folder: Path, environment: CleanEnvironment, server: Server) -> None:
    with step("measurements") as current:
        environment.copy(folder)
        run_program(environment, server, folder / package_data.MEASUREMENTS)
        measured = package_data.read_measurements(folder)
        requests = sum(latency.requests for latency in measured.steps)
        busy = f"; the machine was busy: {measured.others}, so there is no sizing" if measured.is_busy else ""
        current.detail = f"{requests:,} requests timed{busy}"


def _run_clients(artifact: Artifact, folder: Path, server: Server) -> None:
    with step("clients") as current:
        clients = run_clients(folder, server.url, write_clients(artifact.contract, artifact.manifest, folder))
        languages = [client.language for client in clients if not client.left_out]
        current.detail = f"{', '.join(languages)}: run against the server"


def _write_documents(folder: Path) -> None:
    with step("documents") as current:
        package = package_data.read_package_data(folder)
        write_documents(package, folder)
        write_monitoring(package, folder)
        write_definitions(package, folder)
        write_checksums(folder)
        current.detail = "written from the measurements"


def _test_rows(artifact: Artifact, spec: Path | None) -> HoldoutRows | None:
    """Return the test rows; None if no ``spec`` is named and the table has changed or is not available."""
    if spec is not None:
        return read_holdout_rows(artifact, spec)
    remembered = store.source(artifact.tag)
    if remembered is None or not remembered.is_file() or artifact.manifest.origin.data_version == NO_TABLE:
        return None
    try:
        return read_holdout_rows(artifact, remembered)
    except UsageError as error:
        print_line("test rows", f"left out: {error}", style="yellow")
        return None

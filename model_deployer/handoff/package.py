"""`deployer handoff`, top to bottom: a model of the store becomes a package that its readers can rely on."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from model_deployer.contract import artifact as stored
from model_deployer.contract import store
from model_deployer.contract.artifact import Artifact, write_json
from model_deployer.contract.errors import UsageError
from model_deployer.deployment.targets import write_definitions
from model_deployer.handoff import specification
from model_deployer.handoff.changes import changes
from model_deployer.handoff.checksums import write_checksums
from model_deployer.handoff.clients.clients import run_clients, write_clients
from model_deployer.handoff.documents.documents import write_documents
from model_deployer.handoff.formats.formats import TEMPLATES, Formats
from model_deployer.handoff.formats.holdout import HoldoutRows, read_holdout_rows
from model_deployer.handoff.formats.parity import write_parity
from model_deployer.handoff.formats.service_replay import replay_service
from model_deployer.handoff.measurement.server_measurement import measure
from model_deployer.handoff.requirements import write_dockerfile, write_environment, write_requirements
from model_deployer.handoff.sample_requests import ask
from model_deployer.handoff.sandbox.environment import CleanEnvironment, temporary_environment
from model_deployer.handoff.sandbox.sbom import write_sbom
from model_deployer.handoff.sandbox.server import Server, run_server
from model_deployer.handoff.verification import raise_for_failures, verify
from model_deployer.image.bento import write_bento
from model_deployer.monitoring.monitoring import write_monitoring
from model_deployer.package import package_data as package_facts
from model_deployer.package.formats import Format
from model_deployer.package.readme_commands import SERVE
from model_deployer.package.samples import Samples
from model_deployer.package.staging import staging
from model_deployer.system.progress import print_line, step

#: What gRPC clients are compiled from.
PROTO = "open_inference.proto"


@dataclass(frozen=True)
class _Drafted:
    """The formats that were written, and the rows they were replayed on."""

    formats: list[Format]
    test: HoldoutRows | None


def write_package(artifact: Artifact, target: Path, spec: Path | None = None, is_verified: bool = True) -> None:
    """Write the package of a model into ``target``, which must not be there, or be empty.

    Args:
        artifact: The model.
        target: The folder.
        spec: The model.yaml beside the table that the model was trained from; None for the one that the store
            remembers. Where it is gone, formats are replayed on the golden requests alone.
        is_verified: Whether to verify the package. If not, every document says so.

    Raises:
        UsageError: There is something in the folder already, or ``spec`` is not the model's.
        CheckFailed: Something of the package turned out untrue; the folder is as it was.
        EnvironmentFault: The machine cannot do it; the folder is as it was.
    """
    with staging(target) as package, temporary_environment() as place:
        package_facts.write_metadata(artifact, is_verified, package)
        drafted = _write_model(artifact, package, _test_part(artifact, spec))
        _write_bento(artifact, package)
        _write_surroundings(package)
        write_json(package / package_facts.CHANGES, {"versions": changes(artifact)})
        _install(package, place)
        with _serving(place) as server:
            samples = _ask(artifact, package, server)
            _replay(artifact, package, server, samples, drafted)
            _measure(artifact, package, server, samples)
            _run_clients(artifact, package, server)
        _write_documents(package)
        if is_verified:
            raise_for_failures(verify(package, place=place))


def _write_model(artifact: Artifact, package: Path, test: HoldoutRows | None) -> _Drafted:
    with step("formats") as now:
        formats = Formats(artifact, package, test).write()
        have = [each.name for each in formats if not each.withheld]
        now.detail = f"{', '.join(have)}: replayed on {_rows(test)}"
    if (artifact.path / stored.PLOTS).is_dir():
        shutil.copytree(artifact.path / stored.PLOTS, package / "model" / stored.PLOTS, copy_function=shutil.copyfile)
    return _Drafted(formats, test)


def _rows(test: HoldoutRows | None) -> str:
    if test is None:
        return "the golden requests; the table is not at hand for the test part"
    return f"the golden requests and the {len(test):,} rows of the test part"


def _write_bento(artifact: Artifact, package: Path) -> None:
    with step("bento") as now:
        write_bento(artifact, package / "bento")
        now.detail = "built, the model inside it"


def _write_surroundings(package: Path) -> None:
    """What does not depend on the model, and what it all runs in."""
    for name, folder in (("inference_example.py", "examples"), ("test_inference.py", "tests")):
        (package / folder).mkdir(exist_ok=True)
        shutil.copyfile(TEMPLATES / name, package / folder / name)
    (package / "proto").mkdir()
    shutil.copyfile(package / "bento/src/model_deployer/serving/grpc" / PROTO, package / "proto" / PROTO)
    write_requirements(package)
    write_environment(package)
    write_dockerfile(package)


def _install(package: Path, place: CleanEnvironment) -> None:
    with step("environment") as now:
        place.copy(package)
        place.install()
        write_sbom(package, place)
        now.detail = f"{len(place.installed())} packages in a clean environment"


@contextmanager
def _serving(place: CleanEnvironment) -> Iterator[Server]:
    with run_server(SERVE, place.folder) as server:
        print_line("server", f"the package's own Bento, ready after {server.cold_start_seconds:.1f} s")
        yield server


def _ask(artifact: Artifact, package: Path, server: Server) -> Samples:
    with step("requests") as now:
        samples = ask(server.url, artifact)
        write_json(package / package_facts.SAMPLES, samples.model_dump(mode="json"))
        (package / "docs").mkdir(exist_ok=True)
        specification.write(specification.fetch(server.url), package / package_facts.SPECIFICATION)
        answered = len(samples.golden) + len(samples.edge)
        now.detail = f"{answered} answered, {len(samples.invalid)} refused, as they should be"
    return samples


def _replay(artifact: Artifact, package: Path, server: Server, samples: Samples, drafted: _Drafted) -> None:
    with step("service") as now:
        format_ = replay_service(server.url, artifact, samples, drafted.test)
        write_parity(package / package_facts.PARITY, [format_, *drafted.formats])
        now.detail = f"replayed on {_rows(drafted.test)}"


def _measure(artifact: Artifact, package: Path, server: Server, samples: Samples) -> None:
    with step("measurements") as now:
        measured = measure(server.url, server.process.pid, samples, server.cold_start_seconds, artifact.contract)
        (package / package_facts.MEASUREMENTS).parent.mkdir(exist_ok=True)
        write_json(package / package_facts.MEASUREMENTS, measured.model_dump(mode="json"))
        now.detail = f"{sum(each.requests for each in (*measured.by_rows, *measured.by_load)):,} requests timed"


def _run_clients(artifact: Artifact, package: Path, server: Server) -> None:
    with step("clients") as now:
        clients = run_clients(package, server.url, write_clients(artifact.contract, artifact.manifest, package))
        now.detail = f"{', '.join(each.language for each in clients if not each.left_out)}: run against the server"


def _write_documents(package: Path) -> None:
    with step("documents") as now:
        facts = package_facts.read_package_data(package)
        write_documents(facts, package)
        write_monitoring(facts, package)
        write_definitions(facts, package)
        write_checksums(package)
        now.detail = "written from what was measured"


def _test_part(artifact: Artifact, spec: Path | None) -> HoldoutRows | None:
    """The test part, where the table is at hand and still the same; for a ``spec`` that was named it has to be."""
    if spec is not None:
        return read_holdout_rows(artifact, spec)
    remembered = store.source(artifact.tag)
    if remembered is None or not remembered.is_file():
        return None
    try:
        return read_holdout_rows(artifact, remembered)
    except UsageError as error:
        print_line("test part", f"left out: {error}", style="yellow")
        return None

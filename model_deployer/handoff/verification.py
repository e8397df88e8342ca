"""`deployer verify`: check what a package says, by reading it and then by running everything in it."""

import json
import os
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

import httpx
from pydantic import BaseModel, ConfigDict

from model_deployer.contract.artifact import write_json
from model_deployer.contract.errors import CheckFailed, DeployerError
from model_deployer.contract.source_runner import SourceRunner
from model_deployer.deployment.targets import definitions, write_definitions
from model_deployer.handoff import specification
from model_deployer.handoff.capture_check import check_capture
from model_deployer.handoff.checksums import write_checksums
from model_deployer.handoff.clients.clients import check_clients
from model_deployer.handoff.documents.documents import documents, write_documents
from model_deployer.handoff.grpc_replay import replay_grpc
from model_deployer.handoff.measurement.machine import machine
from model_deployer.handoff.measurement.program import run_relative_program
from model_deployer.handoff.programs import differing_programs
from model_deployer.handoff.requirements import read_pins, read_source_pins
from model_deployer.handoff.sandbox.environment import CleanEnvironment, temporary_environment
from model_deployer.handoff.sandbox.server import Server, run_server
from model_deployer.handoff.sandbox.source_environment import install_source
from model_deployer.handoff.standalone import verify as standalone
from model_deployer.image.container import container
from model_deployer.monitoring.monitoring import check_monitoring, monitoring, replay_verdict
from model_deployer.package import package_data
from model_deployer.package.measurements import Machine
from model_deployer.package.package_data import OPEN_INFERENCE, PackageData
from model_deployer.package.readme_commands import commands
from model_deployer.package.samples import answers_match, send_sample
from model_deployer.system.command import Completed, last_line
from model_deployer.system.http_client import auth_header, connect
from model_deployer.system.janitor import temporary_folder
from model_deployer.system.progress import print_line, spinner

JSON, MARKDOWN = "VERIFICATION.json", "VERIFICATION.md"

Result = Literal["passed", "failed", "not run"]


class Check(BaseModel):
    """One check of a verification.

    Attributes:
        name: The name, in one to three words.
        about: What the check does.
        result: Whether it passed, failed or was not run.
        detail: The findings; if the check failed, the problem; if it was not run, the reason.
        seconds: How long the check took.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    about: str
    result: Result
    detail: str
    seconds: float


class Verification(BaseModel):
    """The content of VERIFICATION.json.

    Attributes:
        model: ``name`` and ``version``.
        passed: Whether no check failed.
        when: The time of the verification, in UTC.
        machine: The machine that the checks ran on.
        server: ``own`` for the package's own Bento, or the URL of a deployment.
        checks: The checks, in their order.
        figures: Every figure of the documents, by the file of the package that contains it.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    model: dict[str, str]
    passed: bool
    when: datetime
    machine: Machine
    server: str
    checks: tuple[Check, ...]
    figures: dict[str, Any]


#: Raised by a check that cannot run on this machine; its text is the reason.
NotRun = standalone.NotRun


@dataclass(frozen=True)
class Options:
    """How a package is verified.

    Attributes:
        url: The URL of a deployment to check; None to run a server of the package's own Bento.
        base: The base image to build the package's image on; None to build and run no image.
        public_key: The public key of the author, a PEM file; None if it is not known.
        is_signed_later: Whether the package is signed with the result of its verification.
    """

    url: str | None = None
    base: str | None = None
    public_key: Path | None = None
    is_signed_later: bool = False


@dataclass
class CheckContext:
    """The objects that the checks share.

    Attributes:
        folder: The folder of the package.
        package: The content of the package.
        environment: A copy of the package with the clean environment.
        stack: Stops the server and removes temporary files after the checks.
        options: How to verify the package.
        has_failed: Whether a check that only reads the package failed; nothing of the package is run then.
        url: The URL of the server to send requests to; empty until it is ready.
        server: The package's own server.
    """

    folder: Path
    package: PackageData
    environment: CleanEnvironment
    stack: ExitStack
    options: Options
    has_failed: bool = False
    url: str = ""
    server: Server | None = None


DEFAULT_OPTIONS = Options()


def verify(
    folder: Path, options: Options = DEFAULT_OPTIONS, environment: CleanEnvironment | None = None
) -> Verification:
    """Check a package. It is not changed; the programs in it work on a copy.

    Args:
        folder: The folder of the package.
        options: How to verify it.
        environment: An environment that is already installed; None to install one.

    Raises:
        UsageError: If the folder does not contain a package.
    """
    package = package_data.read_package_data(folder)
    with ExitStack() as stack:
        clean_environment = environment or stack.enter_context(temporary_environment())
        clean_environment.copy(folder)
        context = CheckContext(folder, package, clean_environment, stack, options)
        checks = tuple(_run(context))
    passed = all(check.result != "failed" for check in checks)
    return Verification(
        model={"name": package.manifest.name, "version": package.manifest.version},
        passed=passed,
        when=datetime.now(UTC).replace(microsecond=0),
        machine=machine(),
        server=options.url or "own",
        checks=checks,
        figures=package_data.package_figures(folder),
    )


def write_verification(verification: Verification, folder: Path) -> None:
    """Write VERIFICATION.json and VERIFICATION.md into a folder.

    Raises:
        OSError: If they cannot be written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    write_json(folder / JSON, verification.model_dump(mode="json"))
    (folder / MARKDOWN).write_text(_markdown(verification), encoding="utf-8")


def complete_package(verification: Verification, folder: Path) -> None:
    """Add a verification that passed to a package that was written without one, and remove the note UNVERIFIED.

    Args:
        verification: The verification of the package by its own server.
        folder: The folder of the package.
    """
    package_data.mark_verified(folder)
    package = package_data.read_package_data(folder)
    write_documents(package, folder)
    write_definitions(package, folder)
    write_verification(verification, folder)
    write_checksums(folder)


def raise_for_failures(verification: Verification) -> None:
    """Raise an error if a check failed.

    Raises:
        CheckFailed: If a check failed; the message has one line per failed check.
    """
    failed = [check for check in verification.checks if check.result == "failed"]
    if failed:
        raise CheckFailed("\n".join(f"{check.name}: {check.detail}" for check in failed))


def _run(context: CheckContext) -> Iterator[Check]:
    """Run the checks in their order.

    If a check that only reads the package fails, those that run it are not run; without a server, those that need one.
    """
    for about, need, check in CHECKS:
        name = check.__name__.strip("_").replace("_", " ")
        start = time.monotonic()
        result, detail = _result(context, check, need, name)
        context.has_failed |= result == "failed" and check in READING
        seconds = round(time.monotonic() - start, 2)
        style = {"passed": "green", "failed": "red", "not run": "yellow"}[result]
        print_line(name, detail if result == "passed" else f"{result}: {detail}", seconds, style)
        yield Check(name=name, about=about, result=result, detail=detail, seconds=seconds)


def _result(context: CheckContext, check: "CheckFunction", need: "Need", name: str) -> tuple[Result, str]:
    if need != "files" and context.has_failed:
        return "not run", "the package is not as it was written, so nothing of it is run"
    if need == "server" and not context.url:
        return "not run", "no server is running"
    try:
        with spinner(name):
            return "passed", check(context)
    except NotRun as reason:
        return "not run", str(reason)
    except subprocess.TimeoutExpired as error:
        return "not run", f"it did not end within {error.timeout:.0f} s"
    except (
        DeployerError,
        standalone.Failed,
        httpx.HTTPError,
        subprocess.SubprocessError,
        OSError,
        ValueError,
    ) as error:
        return "failed", str(error) or type(error).__name__
    except KeyError as error:
        return "failed", f"{error} is missing, in README.md or in an answer of the server"


# The checks. Each returns its findings in a sentence, and raises CheckFailed with the problem if there is one.

CheckFunction = Callable[[CheckContext], str]

#: What a check needs: the files alone, to run the package, or its server.
Need = Literal["files", "program", "server"]


def _files(context: CheckContext) -> str:
    _require_none(standalone.changed_files(context.folder))
    return "every file is unchanged"


def _signature(context: CheckContext) -> str:
    if context.options.is_signed_later:
        raise NotRun("the package is signed after this verification: verify.py checks it, with the public key")
    return standalone.signature(context.folder, context.options.public_key)


def _figures(context: CheckContext) -> str:
    _require_none(standalone.differing_figures(context.folder))
    return "the figures of the documents are those of the model in the Bento"


def _documents(context: CheckContext) -> str:
    package = context.package
    written = documents(package) | monitoring(package) | definitions(package)
    _require_none([f"{name} does not match the data of the package" for name, text in written.items()
                   if (context.folder / name).read_text(encoding="utf-8") != text])  # fmt: skip
    return f"{len(written)} documents, generated again from the data of the package, are identical"


def _programs(context: CheckContext) -> str:
    _require_none([
        f"{name} is not what this version of model-deployer writes"
        for name in differing_programs(context.package, context.folder)
    ])  # fmt: skip
    return "the example program, the tests, the clients and the server are those of this version of model-deployer"


def _environment(context: CheckContext) -> str:
    context.environment.install()
    expected = {_canonical(pin) for pin in read_pins(context.folder)}
    extra = [pin for pin in context.environment.installed() if _canonical(pin) not in expected]
    _require_none([f"{pin} was installed, but the requirements do not list it" for pin in extra])
    own = f"{len(expected)} packages installed in a new virtual environment, and no others"
    return f"{own}; {_source_environment(context, runner)}" if (runner := context.package.runner) else own


def _source_environment(context: CheckContext, runner: SourceRunner) -> str:
    """Make the environment of the process of the model, and compare its packages with those that it needs."""
    environment = install_source(context.environment, runner)
    installed = {_canonical(f"{name}=={version}") for name, version in environment.versions.items()}
    pins = read_source_pins(context.folder)
    _require_none(list(environment.notes))
    _require_none([f"{pin} was not installed for the process of the model" for pin in pins
                   if _canonical(pin) not in installed])  # fmt: skip
    python = environment.versions["python"]
    other = (
        "" if runner.python is None or f"{python}.".startswith(f"{runner.python}.") else f" in place of {runner.python}"
    )
    return f"{len(pins)} in that of the process of the model, with Python {python}{other}"


def _example(context: CheckContext) -> str:
    completed = context.environment.run(commands(context.folder, context.url)["example"], **_key_variable())
    _require_success(completed)
    return f"examples/inference_example.py printed {len(completed.stdout.splitlines())} predictions"


def _tests_offline(context: CheckContext) -> str:
    if context.package.runner:
        raise NotRun("the model answers in the service only")
    return _test_summary(context.environment.run(commands(context.folder)["test"]))


def _start(context: CheckContext) -> str:
    if context.options.url:
        httpx.get(f"{context.options.url}/readyz", timeout=10).raise_for_status()
        context.url = context.options.url
        return f"{context.url} is ready"
    command = commands(context.folder)["serve"]
    has_grpc = bool(context.package.grpc_protocols)
    context.server = context.stack.enter_context(run_server(command, context.environment.folder, has_grpc))
    context.url = context.server.url
    return f"the package's own Bento was ready after {context.server.cold_start_seconds:.1f} s"


def _identity(context: CheckContext) -> str:
    with connect(context.url) as client:
        model = client.get("/model").raise_for_status().json()
    tag, expected = f"{model.get('name')}:{model.get('version')}", context.package.tag
    if tag != expected:
        raise CheckFailed(f"the server runs {tag}, but this package is for {expected}")
    metadata = package_data.read_metadata(context.folder)
    _require_none(standalone.differing_statements(metadata, model))
    return f"the server runs {tag}, and states the figures of the package"


def _requests(context: CheckContext) -> str:
    samples = context.package.samples
    answered, refused = [*samples.golden, *samples.edge], samples.invalid
    with connect(context.url) as client:
        for sample in (*answered, *refused):
            status, answer = send_sample(client, sample)
            if status != sample.status or not answers_match(sample.answer, answer, samples.tolerance):
                raise CheckFailed(f"'{sample.case}': the answer differs from sample_requests.json")
    return f"{len(answered)} golden and edge requests answered and {len(refused)} wrong ones refused, as expected"


def _metrics(context: CheckContext) -> str:
    problems, words = standalone.differing_metrics(
        context.folder, lambda rows: standalone.predictions_of(context.url, rows, auth_header())
    )
    _require_none(problems)
    return words


def _latencies(context: CheckContext) -> str:
    if context.server is None:
        raise NotRun("the latencies of the package are those of its own server, on a machine without other programs")
    environment, server = context.environment, context.server
    with temporary_folder("model-latencies-") as folder:

        def measure() -> Any:
            run_relative_program(environment, server, folder / "latencies.json")
            return json.loads((folder / "latencies.json").read_bytes())

        return standalone.held_latencies(context.package.measured.model_dump(mode="json"), measure)


def _grpc(context: CheckContext) -> str:
    if context.server is None:
        raise NotRun("the gRPC address of the deployment is not known, if it has one")
    if context.server.grpc is None or OPEN_INFERENCE not in context.package.grpc_protocols:
        raise NotRun("the service does not have the Open Inference Protocol")
    rows = replay_grpc(context.server.grpc, context.package.samples)
    return f"{rows} golden and edge rows get the same answers over gRPC as over HTTP"


def _tests_deployed(context: CheckContext) -> str:
    return _test_summary(
        context.environment.run(commands(context.folder, context.url)["deployment"], **_key_variable())
    )


def _request(context: CheckContext) -> str:
    if _key_variable():
        raise NotRun("the request in README.md does not contain an API key")
    completed = context.environment.run(commands(context.folder, context.url)["request"])
    _require_success(completed)
    samples = context.package.samples
    if not answers_match(samples.golden[0].answer, specification.parse(completed.stdout), samples.tolerance):
        raise CheckFailed("the answer to the request in README.md differs from the answer in README.md")
    return "the request in README.md gets the answer in README.md"


def _specification(context: CheckContext) -> str:
    return specification.check(context.folder, context.url)


def _fuzzing(context: CheckContext) -> str:
    folder, is_graph = context.environment.folder, context.package.runner is None
    return specification.fuzz(context.folder, context.url, folder, is_graph=is_graph)


def _clients(context: CheckContext) -> str:
    outcomes = check_clients(context.environment.folder, context.url)
    failed = [outcome for outcome in outcomes if outcome.passed is False]
    _require_none([f"{outcome.client.language}: {outcome.detail}" for outcome in failed])
    passed = [outcome.client.language for outcome in outcomes if outcome.passed]
    if not passed:
        raise NotRun("none of the languages is installed on this machine")
    not_run = [outcome.detail for outcome in outcomes if outcome.passed is None]
    return "; ".join([f"{', '.join(passed)} reproduce the answers", *not_run])


def _monitoring(context: CheckContext) -> str:
    _require_none(check_monitoring(context.package, context.folder, context.url))
    return f"the server exports every metric that the rules and the dashboard use; {replay_verdict(context.package)}"


def _capture(context: CheckContext) -> str:
    if context.options.url:
        raise NotRun("whether a deployment captures traffic, and where, is the choice of its operator")
    return check_capture(context.package, context.environment)


def _container(context: CheckContext) -> str:
    if context.options.base is None:
        raise NotRun("this needs docker or podman, and `deployer verify --container BASE` with the image to build on")
    with container(context.folder, context.options.base) as url:
        in_container = replace(context, url=url)
        findings = f"{_identity(in_container)}, {_requests(in_container)}"
        return f"built on {context.options.base}, run without privileges on a read-only file system: {findings}"


def _end(context: CheckContext) -> str:
    if context.server is None:
        raise NotRun("the deployment must not be stopped")
    status = context.server.stop()
    if status != 0:
        raise CheckFailed(f"the server ended with status {status} after SIGTERM; expected 0")
    return "the server ends with status 0 after SIGTERM"


#: The checks that decide whether anything of the package is run.
READING: tuple[CheckFunction, ...] = (_files, _signature, _figures)

CHECKS: tuple[tuple[str, Need, CheckFunction], ...] = (
    ("Compare every file with SHA256SUMS.", "files", _files),
    ("Check who signed the files.", "files", _signature),
    ("Compare the figures of the documents with those of the model in the Bento.", "files", _figures),
    ("Generate every document again from the data of the package, and compare it byte for byte.", "files", _documents),
    ("Compare the programs with those of this version of model-deployer.", "files", _programs),
    (
        "Install both requirements.txt in an empty virtual environment, and list its packages.",
        "program",
        _environment,
    ),
    ("Run the tests of the package offline: ONNX model, pickles, preprocessing.", "program", _tests_offline),
    ("Start a server of the package's own Bento, or connect to the deployment.", "program", _start),
    ("Compare GET /model with the package's model and version.", "server", _identity),
    ("Send every request of sample_requests.json, and compare the answer.", "server", _requests),
    ("Run the example program.", "server", _example),
    ("Measure the model again on the test rows that the package holds.", "server", _metrics),
    ("Measure latencies again, and hold them against the stated ones.", "server", _latencies),
    (
        "Send the golden and edge rows over gRPC, with a client that discovers the service by reflection.",
        "server",
        _grpc,
    ),
    ("Run the tests of the package against the server.", "server", _tests_deployed),
    ("Run the request in README.md.", "server", _request),
    (
        "Check that the API documents are valid OpenAPI 3.1 and equal to that of the server.",
        "server",
        _specification,
    ),
    ("Generate valid and invalid requests from the API documents with schemathesis.", "server", _fuzzing),
    ("Run every client against the server.", "server", _clients),
    ("Compare the metrics of the alert rules and the dashboard with /metrics; run promtool.", "server", _monitoring),
    ("Stop the server with SIGTERM.", "server", _end),
    ("Start the server with a traffic store, send the label of the guide, and read the store.", "program", _capture),
    ("Build the image of the package's Dockerfile, run it, and send every request again.", "program", _container),
)


def _require_none(problems: list[str]) -> None:
    if problems:
        more = f"; and {len(problems) - 5} more" if len(problems) > 5 else ""
        raise CheckFailed("; ".join(problems[:5]) + more)


def _key_variable() -> dict[str, str]:
    """Return the variable with the API key of a deployment; {} if it is not set."""
    return {"API_KEY": os.environ["API_KEY"]} if "API_KEY" in os.environ else {}


def _require_success(completed: Completed) -> None:
    if completed.returncode:
        raise CheckFailed(last_line(completed))


def _test_summary(completed: Completed) -> str:
    """Return the last line of pytest: "32 passed, 7 skipped in 2.1s"."""
    _require_none([line for line in completed.stdout.splitlines() if line.startswith(("FAILED", "ERROR"))])
    _require_success(completed)
    return completed.stdout.strip().splitlines()[-1].strip("= ")


def _canonical(pin: str) -> str:
    name, _, version = pin.partition("==")
    return f"{name.lower().replace('_', '-').replace('.', '-')}=={version.partition(' ')[0].partition('+')[0]}"


def _markdown(verification: Verification) -> str:
    verdict = "Every check that could run passed." if verification.passed else "**A check failed.**"
    server = "a server of the package's own Bento" if verification.server == "own" else verification.server
    host = verification.machine
    parts = (host.processor, f"{host.cores} cores", host.system, f"Python {host.python}")
    machine_text = ", ".join(part for part in parts if part)
    when = verification.when
    rows = [
        f"| {check.name} | {check.about} | {check.result} | {_cell(check.detail)} | {check.seconds:.1f} |"
        for check in verification.checks
    ]
    return "\n".join(
        [
            f"# Verification of {verification.model['name']} {verification.model['version']}",
            "",
            f"{verdict} The checks ran on {when:%Y-%m-%d} at {when:%H:%M} UTC against {server}.",
            f"Machine: {machine_text}.",
            "`python3 verify.py` runs most of the checks again, and `deployer verify` all of them.",
            "",
            "| check | what it does | result | findings | seconds |",
            "|---|---|---|---|---:|",
            *rows,
            "",
        ]
    )


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")

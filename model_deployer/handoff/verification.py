"""`deployer verify`: everything that a package says, executed; VERIFICATION.md and .json say what came of it."""

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
from model_deployer.deployment.targets import definitions, write_definitions
from model_deployer.handoff import specification
from model_deployer.handoff.checksums import check_checksums, write_checksums
from model_deployer.handoff.clients.clients import check_clients
from model_deployer.handoff.documents.documents import documents, write_documents
from model_deployer.handoff.grpc_replay import replay_grpc
from model_deployer.handoff.measurement.machine import machine
from model_deployer.handoff.sandbox.environment import CleanEnvironment, temporary_environment
from model_deployer.handoff.sandbox.server import Server, run_server
from model_deployer.image.container import container
from model_deployer.monitoring.monitoring import check_monitoring, monitoring, promtool
from model_deployer.package import package_data as package_facts
from model_deployer.package.measurements import Machine
from model_deployer.package.package_data import PackageData
from model_deployer.package.readme_commands import commands
from model_deployer.package.samples import answers_match, send_sample
from model_deployer.system.command import Completed, last_line
from model_deployer.system.http_client import connect
from model_deployer.system.progress import print_line, spinner

JSON, MARKDOWN = "VERIFICATION.json", "VERIFICATION.md"

Result = Literal["passed", "failed", "not run"]


class Check(BaseModel):
    """One thing that was verified.

    Attributes:
        name: In a word or two.
        about: What was done.
        result: What came of it.
        detail: What was found; of a check that failed, what is wrong; of one that was not run, why.
        seconds: How long it took.
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
        when: In UTC.
        machine: Where the checks ran.
        server: ``own`` for the package's own Bento, or the URL of a deployment.
        checks: What ran.
        figures: Every figure that the documents state, under the file of the package that holds it.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    model: dict[str, str]
    passed: bool
    when: datetime
    machine: Machine
    server: str
    checks: tuple[Check, ...]
    figures: dict[str, Any]


class NotRun(Exception):
    """A check that cannot be made here; its text says why."""


@dataclass
class CheckContext:
    """What the checks work with.

    Attributes:
        package: The folder under examination.
        facts: What stands in it.
        place: A copy of it, with the clean environment.
        stack: What is to be ended after the checks.
        deployment: The URL of a deployment that somebody else runs; None for a server of the package's own.
        base: What the image is to be built on; None where it is not to be built.
        url: The server that is asked; empty until it is ready.
        server: The package's own server.
    """

    package: Path
    facts: PackageData
    place: CleanEnvironment
    stack: ExitStack
    deployment: str | None
    base: str | None
    url: str = ""
    server: Server | None = None


def verify(
    package: Path, url: str | None = None, place: CleanEnvironment | None = None, base: str | None = None
) -> Verification:
    """Execute everything that a package says, and write VERIFICATION.json and VERIFICATION.md into it.

    Where a package was written without being verified, its documents stop to say so once everything passed.

    Args:
        package: Its folder.
        url: A deployment to ask in place of a server of the package's own Bento.
        place: Where the clean environment is installed already; None to install one.
        base: The image that the package's own is built on, to be run as well; None not to build it.

    Raises:
        UsageError: The folder holds no package.
        EnvironmentFault: The verdict cannot be written.
    """
    known = package_facts.read_package_data(package)
    with ExitStack() as stack:
        there = place or stack.enter_context(temporary_environment())
        there.copy(package)
        scene = CheckContext(package, known, there, stack, url, base)
        checks = tuple(_run(scene))
    passed = all(check.result != "failed" for check in checks)
    if passed and not known.is_verified and not url:
        _remove_unverified_banner(package)
    found = Verification(
        model={"name": known.manifest.name, "version": known.manifest.version},
        passed=passed,
        when=datetime.now(UTC).replace(microsecond=0),
        machine=machine(),
        server=url or "own",
        checks=checks,
        figures=package_facts.package_figures(package),
    )
    write_json(package / JSON, found.model_dump(mode="json"))
    (package / MARKDOWN).write_text(_markdown(found), encoding="utf-8")
    return found


def _remove_unverified_banner(package: Path) -> None:
    """Take the word UNVERIFIED out of the documents."""
    package_facts.mark_verified(package)
    facts = package_facts.read_package_data(package)
    write_documents(facts, package)
    write_definitions(facts, package)
    write_checksums(package)


def raise_for_failures(verification: Verification) -> None:
    """End the command where a check failed.

    Raises:
        CheckFailed: A line each check that failed.
    """
    failed = [check for check in verification.checks if check.result == "failed"]
    if failed:
        raise CheckFailed("\n".join(f"{check.name}: {check.detail}" for check in failed))


def _run(scene: CheckContext) -> Iterator[Check]:
    """The checks in their order; without a server those that ask it are not run."""
    for about, needs_server, check in CHECKS:
        name = check.__name__.strip("_").replace("_", " ")
        began = time.monotonic()
        result, detail = _result(scene, check, needs_server, name)
        seconds = round(time.monotonic() - began, 2)
        style = {"passed": "green", "failed": "red", "not run": "yellow"}[result]
        print_line(name, detail if result == "passed" else f"{result}: {detail}", seconds, style)
        yield Check(name=name, about=about, result=result, detail=detail, seconds=seconds)


def _result(scene: CheckContext, check: "CheckFunction", needs_server: bool, name: str) -> tuple[Result, str]:
    if needs_server and not scene.url:
        return "not run", "there is no server to ask"
    try:
        with spinner(name):
            return "passed", check(scene)
    except NotRun as reason:
        return "not run", str(reason)
    except (DeployerError, httpx.HTTPError, subprocess.SubprocessError, OSError, ValueError) as error:
        return "failed", str(error) or type(error).__name__
    except KeyError as error:
        return "failed", f"{error} is missing, in README.md or in an answer of the server"


# The checks. Each takes the scene and tells what it found; it raises CheckFailed for what is wrong.

CheckFunction = Callable[[CheckContext], str]


def _files(scene: CheckContext) -> str:
    problems = check_checksums(scene.package)
    _none_of(problems)
    return "every file is as it was written"


def _documents(scene: CheckContext) -> str:
    written = documents(scene.facts) | monitoring(scene.facts) | definitions(scene.facts)
    _none_of([f"{name} does not follow from the package's figures" for name, text in written.items()
              if (scene.package / name).read_text(encoding="utf-8") != text])  # fmt: skip
    return f"{len(written)} documents, written again from the package's figures, are the same to the byte"


def _environment(scene: CheckContext) -> str:
    scene.place.install()
    pinned = [line for line in (scene.package / "requirements.txt").read_text().splitlines() if "==" in line]
    wanted = {_canonical(pin) for pin in pinned}
    extra = [pin for pin in scene.place.installed() if _canonical(pin) not in wanted]
    _none_of([f"{pin} was installed, which requirements.txt does not name" for pin in extra])
    return f"{len(wanted)} packages installed in a virtual environment of their own, and no others"


def _example(scene: CheckContext) -> str:
    done = scene.place.run(commands(scene.package)["example"])
    _succeeded(done)
    return f"examples/inference_example.py printed {len(done.stdout.splitlines())} predictions"


def _tests_offline(scene: CheckContext) -> str:
    return _tested(scene.place.run(commands(scene.package)["test"]))


def _start(scene: CheckContext) -> str:
    if scene.deployment:
        httpx.get(f"{scene.deployment}/readyz", timeout=10).raise_for_status()
        scene.url = scene.deployment
        return f"{scene.url} is ready"
    command = commands(scene.package)["serve"]
    scene.server = scene.stack.enter_context(run_server(command, scene.place.folder, speaks_grpc=True))
    scene.url = scene.server.url
    return f"the package's own Bento was ready after {scene.server.cold_start_seconds:.1f} s"


def _identity(scene: CheckContext) -> str:
    with connect(scene.url) as client:
        model = client.get("/model").raise_for_status().json()
    found, wanted = f"{model.get('name')}:{model.get('version')}", scene.facts.tag
    if found != wanted:
        raise CheckFailed(f"the server answers with {found}; this package is of {wanted}")
    return f"the server answers with {found}"


def _requests(scene: CheckContext) -> str:
    samples = scene.facts.samples
    answered, refused = [*samples.golden, *samples.edge], samples.invalid
    with connect(scene.url) as client:
        for sample in (*answered, *refused):
            status, answer = send_sample(client, sample)
            if status != sample.status or not answers_match(sample.answer, answer, samples.tolerance):
                raise CheckFailed(f"'{sample.case}' is answered otherwise than sample_requests.json says")
    return f"{len(answered)} golden and edge requests answered and {len(refused)} wrong ones refused as expected"


def _grpc(scene: CheckContext) -> str:
    if scene.server is None or scene.server.grpc is None:
        raise NotRun("where a deployment speaks gRPC, if it does, is not known here")
    rows = replay_grpc(scene.server.grpc, scene.facts.samples)
    return f"{rows} golden and edge rows answered over gRPC as over HTTP"


def _tests_deployed(scene: CheckContext) -> str:
    return _tested(scene.place.run(commands(scene.package, scene.url)["deployment"], **_key()))


def _request(scene: CheckContext) -> str:
    if _key():
        raise NotRun("the request of README.md carries no API key")
    done = scene.place.run(commands(scene.package, scene.url)["request"])
    _succeeded(done)
    expected = scene.facts.samples.golden[0].answer
    if not answers_match(expected, specification.parse(done.stdout), scene.facts.samples.tolerance):
        raise CheckFailed("the request of README.md is answered otherwise than README.md says")
    return "the request of README.md gets the answer that stands there"


def _specification(scene: CheckContext) -> str:
    return specification.check(scene.package / package_facts.SPECIFICATION, scene.url)


def _fuzzing(scene: CheckContext) -> str:
    return specification.fuzz(scene.package / package_facts.SPECIFICATION, scene.url, scene.place.folder)


def _clients(scene: CheckContext) -> str:
    found = check_clients(scene.place.folder, scene.url)
    _none_of([f"{each.client.language}: {each.detail}" for each in found if each.passed is False])
    ran = [each.client.language for each in found if each.passed]
    if not ran:
        raise NotRun("none of the languages is installed here")
    missing = [each.detail for each in found if each.passed is None]
    return "; ".join([f"{', '.join(ran)} reproduce the answers", *missing])


def _monitoring(scene: CheckContext) -> str:
    _none_of(check_monitoring(scene.package, scene.url))
    by_promtool = "promtool finds the rules right" if promtool() else "promtool is not installed here"
    return f"every metric of the rules and the dashboard is one that the server exports; {by_promtool}"


def _container(scene: CheckContext) -> str:
    if scene.base is None:
        raise NotRun("it takes docker or podman, and `deployer verify --container BASE` with the image to build on")
    with container(scene.package, scene.base) as url:
        asked = replace(scene, url=url)
        return (
            f"built on {scene.base}, run without privileges on a read-only root: {_identity(asked)}, {_requests(asked)}"
        )


def _end(scene: CheckContext) -> str:
    if scene.server is None:
        raise NotRun("the server is not ours to stop")
    status = scene.server.stop()
    if status != 0:
        raise CheckFailed(f"the server ended with {status} after SIGTERM")
    return "the server ends with 0 after SIGTERM"


CHECKS: tuple[tuple[str, bool, CheckFunction], ...] = (
    ("Every file against SHA256SUMS.", False, _files),
    ("Every document written again from the figures in the package, and compared byte for byte.", False, _documents),
    (
        "`pip install -r requirements.txt` into an empty virtual environment, and what it holds then.",
        False,
        _environment,
    ),
    ("The example program.", False, _example),
    ("The tests of the package, offline: ONNX model, pickles, preprocessing.", False, _tests_offline),
    ("A server of the package's own Bento, or the deployment that was named.", False, _start),
    ("GET /model against the package's model and version.", True, _identity),
    ("Every request of sample_requests.json against its answer.", True, _requests),
    (
        "The golden and edge rows once more over gRPC, by a client that learns of the service by reflection.",
        True,
        _grpc,
    ),
    ("The tests of the package against the server.", True, _tests_deployed),
    ("The request of README.md.", True, _request),
    ("API_SPEC.yaml: valid OpenAPI 3.1, and the same that the server serves.", True, _specification),
    ("Requests made from API_SPEC.yaml by schemathesis, right and wrong ones.", True, _fuzzing),
    ("Every client against the server.", True, _clients),
    ("Alert rules and dashboard against /metrics; rules by promtool.", True, _monitoring),
    ("SIGTERM.", True, _end),
    ("The image of the package's Dockerfile, built, run and asked every request once more.", False, _container),
)


def _none_of(problems: list[str]) -> None:
    if problems:
        more = f"; and {len(problems) - 5} more" if len(problems) > 5 else ""
        raise CheckFailed("; ".join(problems[:5]) + more)


def _key() -> dict[str, str]:
    """The variable with the key of a deployment, where there is one."""
    return {"API_KEY": os.environ["API_KEY"]} if "API_KEY" in os.environ else {}


def _succeeded(done: Completed) -> None:
    if done.returncode:
        raise CheckFailed(last_line(done))


def _tested(done: Completed) -> str:
    """What pytest says in its last line: "32 passed, 7 skipped in 2.1s"."""
    _none_of([line for line in done.stdout.splitlines() if line.startswith(("FAILED", "ERROR"))])
    _succeeded(done)
    return done.stdout.strip().splitlines()[-1].strip("= ")


def _canonical(pin: str) -> str:
    name, _, version = pin.partition("==")
    return f"{name.lower().replace('_', '-').replace('.', '-')}=={version.partition(' ')[0].partition('+')[0]}"


def _markdown(found: Verification) -> str:
    verdict = "Everything that could be run passed." if found.passed else "**Something failed.**"
    whose = "a server of the package's own Bento" if found.server == "own" else found.server
    named = found.machine
    on = ", ".join(
        str(each) for each in (named.processor, f"{named.cores} cores", named.system, f"Python {named.python}") if each
    )
    rows = [
        f"| {check.name} | {check.about} | {check.result} | {_cell(check.detail)} | {check.seconds:.1f} |"
        for check in found.checks
    ]
    return "\n".join(
        [
            f"# Verification of {found.model['name']} {found.model['version']}",
            "",
            f"{verdict} It ran on {found.when:%Y-%m-%d} at {found.when:%H:%M} UTC against {whose}, on: {on}.",
            "`deployer verify` writes this page and VERIFICATION.json anew.",
            "",
            "| check | what was done | result | what was found | seconds |",
            "|---|---|---|---|---:|",
            *rows,
            "",
        ]
    )


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")
